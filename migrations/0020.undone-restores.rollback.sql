ALTER TABLE public.communication_cluster_restores DROP CONSTRAINT communication_cluster_restores_undone;
-- An undone one took nothing back, from no moment on; its document says what it was.
UPDATE public.communication_cluster_restores
SET reached_lsn = '0/0', abandoned_timeline = 1, abandoned_at = '1970-01-01 00:00:00+00'
WHERE undone_at IS NOT NULL;
ALTER TABLE public.communication_cluster_restores
DROP COLUMN undone_at,
ALTER COLUMN reached_lsn SET NOT NULL,
ALTER COLUMN abandoned_timeline SET NOT NULL,
ALTER COLUMN abandoned_at SET NOT NULL;
