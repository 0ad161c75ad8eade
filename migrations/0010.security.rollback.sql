DROP TABLE public.communication_encryption_keys CASCADE;
