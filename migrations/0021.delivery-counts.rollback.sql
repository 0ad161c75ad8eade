DROP TABLE internal.delivery_counts CASCADE;
