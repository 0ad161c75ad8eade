-- Restore drills become work for an agent, as backups are: asked for, claimed under a lease, completed or failed.
-- What was in 0012 could be read by clients only, and nobody has written it.
-- Locks: ACCESS EXCLUSIVE on communication_restore_drills, which is empty.
-- squawk-ignore-file ban-drop-constraint, ban-drop-not-null, ban-drop-default, adding-field-with-default
-- squawk-ignore-file require-concurrent-index-creation, constraint-missing-not-valid
ALTER TABLE public.communication_restore_drills DROP CONSTRAINT communication_restore_drills_running;
ALTER TABLE public.communication_restore_drills DROP CONSTRAINT communication_restore_drills_completed;
ALTER TABLE public.communication_restore_drills DROP CONSTRAINT communication_restore_drills_failed;
ALTER TABLE public.communication_restore_drills DROP CONSTRAINT communication_restore_drills_status_check;
ALTER TABLE public.communication_restore_drills ALTER COLUMN status SET DEFAULT 'requested';
ALTER TABLE public.communication_restore_drills ALTER COLUMN started_at DROP NOT NULL;
ALTER TABLE public.communication_restore_drills ALTER COLUMN started_at DROP DEFAULT;
ALTER TABLE public.communication_restore_drills
ADD COLUMN target_type text NOT NULL DEFAULT 'point' CHECK (target_type IN ('point', 'name', 'time', 'lsn', 'xid')),
ADD COLUMN inclusive boolean NOT NULL DEFAULT true,
ADD COLUMN keep boolean NOT NULL DEFAULT false,
ADD COLUMN requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
ADD COLUMN requested_by name NOT NULL DEFAULT session_user,
ADD COLUMN attempts bigint NOT NULL DEFAULT 0 CHECK (attempts BETWEEN 0 AND 3),
ADD COLUMN lease_until timestamptz,
ADD COLUMN step text CHECK (pg_catalog.length(step) BETWEEN 1 AND 200),
ADD COLUMN label text CHECK (label ~ '^[0-9]{8}-[0-9]{6}F(_[0-9]{8}-[0-9]{6}[DI])?$'),
ADD COLUMN reached_lsn pg_lsn,
ADD COLUMN reached_time timestamptz,
ADD COLUMN archived_seconds double precision CHECK (archived_seconds >= 0),
ADD COLUMN restore_seconds double precision CHECK (restore_seconds >= 0),
ADD COLUMN total_seconds double precision CHECK (total_seconds >= 0),
ADD COLUMN restored_bytes bigint CHECK (restored_bytes >= 0);
-- An empty table: nothing is read to check these.
ALTER TABLE public.communication_restore_drills
ADD CONSTRAINT communication_restore_drills_status CHECK (
    status IN ('requested', 'running', 'completed', 'failed')
),
ADD CONSTRAINT communication_restore_drills_running CHECK (
    (status <> 'requested' AND started_at IS NOT NULL OR status = 'requested')
    AND (status <> 'running' OR (node IS NOT NULL AND lease_until IS NOT NULL))
    AND (status IN ('completed', 'failed')) = (completed_at IS NOT NULL)
),
ADD CONSTRAINT communication_restore_drills_completed CHECK (
    (status = 'completed') = (verdict IS NOT NULL)
    AND (verdict IS NULL OR label IS NOT NULL)
    AND (
        verdict IS DISTINCT FROM 'proven' OR (
            reached_lsn IS NOT NULL AND recovery_seconds IS NOT NULL AND restore_seconds IS NOT NULL
            AND pg_catalog.jsonb_array_length(findings) > 0
        )
    )
),
ADD CONSTRAINT communication_restore_drills_failed CHECK (status <> 'failed' OR error IS NOT NULL);
CREATE UNIQUE INDEX communication_restore_drills_one_running
ON public.communication_restore_drills ((true))
WHERE status = 'running';

-- One row a minute, and two around each point that a drill makes: after a restore it is known of each whether it
-- must be there.
CREATE TABLE internal.canaries (
    canary_id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    begun_at timestamptz NOT NULL,
    begun_lsn pg_lsn NOT NULL,
    transaction_id xid8 NOT NULL DEFAULT pg_catalog.pg_current_xact_id(),
    drill_id text
);

COMMENT ON TABLE internal.canaries IS
'A row a minute, written one after the other: which of them a restored copy has tells where it stopped.';
COMMENT ON COLUMN internal.canaries.canary_id IS 'Rises; gaps are writes that failed.';
COMMENT ON COLUMN internal.canaries.begun_at IS 'Shortly before its commit, and after the commit of the one before.';
COMMENT ON COLUMN internal.canaries.begun_lsn IS
'End of the write-ahead log then: its commit lies behind, that of the canary before it ahead.';
COMMENT ON COLUMN internal.canaries.transaction_id IS 'Its transaction.';
COMMENT ON COLUMN internal.canaries.drill_id IS 'The drill it was written for; NULL: by the clock.';
COMMENT ON COLUMN public.communication_restore_drills.drill_id IS
'drill_<date>_<time>_<microseconds> of the request, UTC.';
COMMENT ON COLUMN public.communication_restore_drills.target IS
'Where the restore is to stop: a recovery point''s id, a time, a position in the log, a transaction.';
COMMENT ON COLUMN public.communication_restore_drills.target_type IS
'point: the drill makes a recovery point of its own and restores to it; name, time, lsn, xid: what `target` is.';
COMMENT ON COLUMN public.communication_restore_drills.inclusive IS
'Whether what lies exactly at the target is restored too.';
COMMENT ON COLUMN public.communication_restore_drills.keep IS
'The copy stays until release_restore(); false: it is destroyed at the end.';
COMMENT ON COLUMN public.communication_restore_drills.status IS
'requested, running; completed: it came to a verdict; failed: it did not.';
COMMENT ON COLUMN public.communication_restore_drills.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN public.communication_restore_drills.requested_by IS 'The login that asked.';
COMMENT ON COLUMN public.communication_restore_drills.attempts IS
'How often an agent has started it; three at most.';
COMMENT ON COLUMN public.communication_restore_drills.lease_until IS
'Until then nobody else may take it over. After a failure that may pass: until the next attempt.';
COMMENT ON COLUMN public.communication_restore_drills.step IS 'What it is doing, or did last.';
COMMENT ON COLUMN public.communication_restore_drills.label IS 'pgBackRest''s name of the backup that was restored.';
COMMENT ON COLUMN public.communication_restore_drills.started_at IS 'When the last attempt began.';
COMMENT ON COLUMN public.communication_restore_drills.reached_lsn IS 'Where the copy''s recovery ended.';
COMMENT ON COLUMN public.communication_restore_drills.reached_time IS 'Commit of the last transaction the copy has.';
COMMENT ON COLUMN public.communication_restore_drills.archived_seconds IS
'Recovery point: how long after it was written the target was safe in the store. Known where the drill wrote it.';
COMMENT ON COLUMN public.communication_restore_drills.restore_seconds IS '`pgbackrest restore` alone.';
COMMENT ON COLUMN public.communication_restore_drills.recovery_seconds IS
'Recovery time: from the order to restore until the copy answered queries, at the target.';
COMMENT ON COLUMN public.communication_restore_drills.total_seconds IS
'The whole attempt, waiting for the archive and all comparisons included.';
COMMENT ON COLUMN public.communication_restore_drills.restored_bytes IS 'Size of the database that was restored.';
