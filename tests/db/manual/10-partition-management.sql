-- Create new monthly partition
CREATE TABLE guest_communications_YYYY_MM PARTITION OF guest_communications
FOR VALUES FROM ('YYYY-MM-01') TO ('YYYY-MM+1-01');

-- Drop old partitions (older than 12 months)
DROP TABLE IF EXISTS guest_communications_YYYY_MM;
