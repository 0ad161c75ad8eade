-- What the backup repository was checked for, and with what result: whether the WAL from the oldest full backup to now
-- is whole, and whether every stored file is what it was. The node agent makes the checks; evidence is its document.
-- Locks: none, everything is new.
CREATE TABLE public.communication_backup_checks (
    check_id text PRIMARY KEY CHECK (check_id ~ '^check_[0-9]{8}_[0-9]{6}_[0-9]{6}$'),
    kind text NOT NULL CHECK (kind IN ('wal_audit', 'verification')),
    status text NOT NULL DEFAULT 'requested' CHECK (status IN ('requested', 'running', 'completed', 'failed')),
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    requested_by name NOT NULL DEFAULT session_user,
    attempts bigint NOT NULL DEFAULT 0 CHECK (attempts BETWEEN 0 AND 3),
    node text CHECK (node ~ '^[a-z][a-z0-9-]{0,62}$'),
    lease_until timestamptz,
    started_at timestamptz,
    ended_at timestamptz,
    verdict text CHECK (verdict IN ('sound', 'damaged')),
    error text CHECK (pg_catalog.length(error) BETWEEN 1 AND 4000),
    evidence jsonb CHECK (pg_catalog.jsonb_typeof(evidence) = 'object'),
    CONSTRAINT communication_backup_checks_running CHECK (
        status <> 'running' OR (node IS NOT NULL AND lease_until IS NOT NULL AND started_at IS NOT NULL)
    ),
    CONSTRAINT communication_backup_checks_completed CHECK (
        (status = 'completed') = (verdict IS NOT NULL) AND (verdict IS NULL) = (evidence IS NULL)
    ),
    CONSTRAINT communication_backup_checks_ended CHECK ((status IN ('completed', 'failed')) = (ended_at IS NOT NULL)),
    CONSTRAINT communication_backup_checks_failed CHECK (status <> 'failed' OR error IS NOT NULL)
);

-- Asking twice before the agent came is asking once, and each kind runs once at a time.
CREATE UNIQUE INDEX communication_backup_checks_requested ON public.communication_backup_checks (kind)
WHERE status = 'requested';
CREATE UNIQUE INDEX communication_backup_checks_one_running ON public.communication_backup_checks (kind)
WHERE status = 'running';
CREATE INDEX communication_backup_checks_ended_at ON public.communication_backup_checks (kind, ended_at);

COMMENT ON TABLE public.communication_backup_checks IS
'Every check of the repository: request_backup_check() adds a row, the node agent carries it out.';
COMMENT ON COLUMN public.communication_backup_checks.check_id IS
'check_<date>_<time>_<microseconds> of the request, UTC.';
COMMENT ON COLUMN public.communication_backup_checks.kind IS
'wal_audit: is every WAL segment there from the oldest full backup to now; verification: is every file readable.';
COMMENT ON COLUMN public.communication_backup_checks.status IS
'requested, running, completed (with a verdict), or failed: nothing is known.';
COMMENT ON COLUMN public.communication_backup_checks.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN public.communication_backup_checks.requested_by IS 'The login that asked.';
COMMENT ON COLUMN public.communication_backup_checks.attempts IS 'How often an agent has started it; three at most.';
COMMENT ON COLUMN public.communication_backup_checks.node IS 'The machine whose agent makes or made it.';
COMMENT ON COLUMN public.communication_backup_checks.lease_until IS
'Until then nobody else may take it over; the agent extends it. After a failure: until the next attempt.';
COMMENT ON COLUMN public.communication_backup_checks.started_at IS 'When the last attempt started.';
COMMENT ON COLUMN public.communication_backup_checks.ended_at IS 'When it completed or was given up.';
COMMENT ON COLUMN public.communication_backup_checks.verdict IS 'sound, or damaged: evidence names what is.';
COMMENT ON COLUMN public.communication_backup_checks.error IS 'Why it was given up, or why the attempt before was.';
COMMENT ON COLUMN public.communication_backup_checks.evidence IS
'What was checked, with which versions, when, the figures and every finding.';
