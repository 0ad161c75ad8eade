DELETE FROM public.communication_cluster_restores
WHERE undone_at IS NOT NULL;
ALTER TABLE public.communication_cluster_restores
DROP COLUMN undone_at, -- and its constraint
ALTER COLUMN reached_lsn SET NOT NULL,
ALTER COLUMN abandoned_timeline SET NOT NULL,
ALTER COLUMN abandoned_at SET NOT NULL;
