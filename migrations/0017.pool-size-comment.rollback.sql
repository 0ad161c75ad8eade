COMMENT ON COLUMN public.communication_pool_config.max_connections IS
'Server connections at most; all pools together leave PostgreSQL 30 connections for everything else.';
