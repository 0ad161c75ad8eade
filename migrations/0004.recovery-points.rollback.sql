DROP TABLE public.communication_recovery_points CASCADE;
