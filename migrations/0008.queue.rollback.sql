DROP TABLE internal.sending_state CASCADE;
DROP TABLE public.communication_idempotency CASCADE;
DROP TABLE public.communication_dead_letters CASCADE;
DROP TABLE public.communication_batch_queue CASCADE;
