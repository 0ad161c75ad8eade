UPDATE communication_pool_config
SET max_connections = 300  -- Increase based on load
WHERE pool_name = 'production';
