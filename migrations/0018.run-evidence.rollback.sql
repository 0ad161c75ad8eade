ALTER TABLE public.communication_cluster_restores DROP COLUMN evidence;
ALTER TABLE public.communication_restore_drills DROP COLUMN evidence;
ALTER TABLE public.communication_backups DROP COLUMN evidence;
