DROP TABLE public.communication_backup_checks CASCADE;
