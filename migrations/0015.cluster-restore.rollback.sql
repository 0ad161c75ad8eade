DROP TABLE public.communication_cluster_restores;
ALTER TABLE internal.sending_state DROP COLUMN facts_due;
