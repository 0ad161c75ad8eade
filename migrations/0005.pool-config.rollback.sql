DROP TABLE internal.pool_reports CASCADE;
DROP TABLE public.communication_pool_config CASCADE;
