DROP TABLE public.communication_backups CASCADE;
