DROP TABLE internal.sending_state CASCADE;
DROP TABLE public.communication_idempotency CASCADE;
DROP TABLE public.communication_dead_letters CASCADE;
DROP TABLE public.communication_batch_queue CASCADE;
DROP SEQUENCE internal.queue_tended;
DROP SEQUENCE internal.queue_front_in_app;
DROP SEQUENCE internal.queue_front_push;
DROP SEQUENCE internal.queue_front_sms;
DROP SEQUENCE internal.queue_front_email;
