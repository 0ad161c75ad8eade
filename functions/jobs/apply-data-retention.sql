-- Every night, when few are up: what need not be kept any more goes.
SELECT cron.schedule('apply-data-retention', '37 3 * * *', $$SELECT public.apply_data_retention()$$);
