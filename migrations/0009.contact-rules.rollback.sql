DROP TABLE public.communication_preferences CASCADE;
DROP TABLE public.suppressions CASCADE;
