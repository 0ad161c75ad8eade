DROP TABLE internal.canaries CASCADE;
DROP INDEX public.communication_restore_drills_one_running;
-- Drills that wait or run have no place in the table as it was.
DELETE FROM public.communication_restore_drills
WHERE status = 'requested' OR (status = 'completed' AND (backup_id IS NULL OR recovery_seconds IS NULL));
UPDATE public.communication_restore_drills SET error = NULL
WHERE status <> 'failed';
ALTER TABLE public.communication_restore_drills
DROP CONSTRAINT communication_restore_drills_status, DROP CONSTRAINT communication_restore_drills_running,
DROP CONSTRAINT communication_restore_drills_completed, DROP CONSTRAINT communication_restore_drills_failed;
ALTER TABLE public.communication_restore_drills
DROP COLUMN target_type, DROP COLUMN inclusive, DROP COLUMN keep, DROP COLUMN requested_at, DROP COLUMN requested_by,
DROP COLUMN attempts, DROP COLUMN lease_until, DROP COLUMN step, DROP COLUMN label, DROP COLUMN reached_lsn,
DROP COLUMN reached_time, DROP COLUMN archived_seconds, DROP COLUMN restore_seconds, DROP COLUMN total_seconds,
DROP COLUMN restored_bytes;
ALTER TABLE public.communication_restore_drills ALTER COLUMN status SET DEFAULT 'running';
ALTER TABLE public.communication_restore_drills ALTER COLUMN started_at SET DEFAULT pg_catalog.clock_timestamp();
ALTER TABLE public.communication_restore_drills ALTER COLUMN started_at SET NOT NULL;
ALTER TABLE public.communication_restore_drills
ADD CONSTRAINT communication_restore_drills_status_check CHECK (status IN ('running', 'completed', 'failed')),
ADD CONSTRAINT communication_restore_drills_running CHECK ((status = 'running') = (completed_at IS NULL)),
ADD CONSTRAINT communication_restore_drills_completed CHECK (
    (status = 'completed') = (verdict IS NOT NULL)
    AND (status <> 'completed' OR (backup_id IS NOT NULL AND recovery_seconds IS NOT NULL))
),
ADD CONSTRAINT communication_restore_drills_failed CHECK ((status = 'failed') = (error IS NOT NULL));
COMMENT ON COLUMN public.communication_restore_drills.drill_id IS
'drill_<date>_<time>_<microseconds> of its start, UTC.';
COMMENT ON COLUMN public.communication_restore_drills.target IS
'Where the restore was to stop: latest, a time, a name.';
COMMENT ON COLUMN public.communication_restore_drills.status IS
'running; completed: it came to a verdict; failed: it did not.';
COMMENT ON COLUMN public.communication_restore_drills.started_at IS 'When it began.';
COMMENT ON COLUMN public.communication_restore_drills.recovery_seconds IS
'From the order to restore until the copy answered queries.';
