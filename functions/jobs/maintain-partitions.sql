-- Every night, because a month without its partition refuses rows.
SELECT cron.schedule('maintain-partitions', '17 2 * * *', $$SELECT internal.maintain_partitions()$$);
