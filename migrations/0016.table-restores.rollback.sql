DROP TABLE public.communication_table_restores CASCADE;
