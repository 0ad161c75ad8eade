-- The ledger of backups: requested here, taken by the node agent, which reports back.
-- A backup that is not in this table was not asked for; one that is completed names what pgBackRest stored.
-- Locks: none, everything is new.
CREATE TABLE public.communication_backups (
    backup_id text PRIMARY KEY CHECK (backup_id ~ '^backup_[0-9]{8}_[0-9]{6}_[0-9]{6}$'),
    backup_type text NOT NULL CHECK (backup_type IN ('full', 'incremental', 'differential')),
    status text NOT NULL DEFAULT 'requested'
    CHECK (status IN ('requested', 'running', 'completed', 'failed', 'expired')),
    row_count bigint CHECK (row_count >= 0),
    backup_size_bytes bigint CHECK (backup_size_bytes >= 0),
    repository_size_bytes bigint CHECK (repository_size_bytes >= 0),
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    requested_by name NOT NULL DEFAULT session_user,
    attempts bigint NOT NULL DEFAULT 0 CHECK (attempts BETWEEN 0 AND 3),
    node text CHECK (node ~ '^[a-z][a-z0-9-]{0,62}$'),
    lease_until timestamptz,
    started_at timestamptz,
    completed_at timestamptz,
    failed_at timestamptz,
    error text CHECK (pg_catalog.length(error) BETWEEN 1 AND 4000),
    label text UNIQUE CHECK (label ~ '^[0-9]{8}-[0-9]{6}F(_[0-9]{8}-[0-9]{6}[DI])?$'),
    lsn_start pg_lsn,
    lsn_stop pg_lsn,
    wal_start text CHECK (wal_start ~ '^[0-9A-F]{24}$'),
    wal_stop text CHECK (wal_stop ~ '^[0-9A-F]{24}$'),
    checksum_errors bigint CHECK (checksum_errors >= 0),
    verified_at timestamptz,
    verified_by text,
    CONSTRAINT communication_backups_running CHECK (
        status <> 'running' OR (node IS NOT NULL AND lease_until IS NOT NULL AND started_at IS NOT NULL)
    ),
    CONSTRAINT communication_backups_completed CHECK (
        status NOT IN ('completed', 'expired') OR (
            label IS NOT NULL AND completed_at >= started_at AND lsn_stop >= lsn_start
            AND wal_start IS NOT NULL AND wal_stop IS NOT NULL AND checksum_errors IS NOT NULL
            AND backup_size_bytes IS NOT NULL AND repository_size_bytes IS NOT NULL
            -- What the ledger learned from the repository, as after a restore, has no count of rows.
            AND (row_count IS NOT NULL OR requested_by = 'repository')
        )
    ),
    -- The last letter of a label says what pgBackRest made.
    CONSTRAINT communication_backups_label_fits_type CHECK (
        backup_type = CASE pg_catalog.right(label, 1)
            WHEN 'F' THEN 'full' WHEN 'D' THEN 'differential' WHEN 'I' THEN 'incremental'
        END
    ),
    CONSTRAINT communication_backups_failed CHECK (
        status <> 'failed' OR (error IS NOT NULL AND failed_at IS NOT NULL)
    ),
    CONSTRAINT communication_backups_verified CHECK ((verified_at IS NULL) = (verified_by IS NULL))
);

-- Asking twice before the agent came is asking once; and pgBackRest takes one backup at a time.
CREATE UNIQUE INDEX communication_backups_requested ON public.communication_backups (backup_type)
WHERE status = 'requested';
CREATE UNIQUE INDEX communication_backups_one_running ON public.communication_backups ((true))
WHERE status = 'running';
CREATE INDEX communication_backups_completed_at ON public.communication_backups (completed_at);

COMMENT ON TABLE public.communication_backups IS
'Every backup that was asked for. backup_communication_system() adds a row, the node agent carries it out.';
COMMENT ON COLUMN public.communication_backups.backup_id IS
'backup_<date>_<time>_<microseconds> of the request, UTC.';
COMMENT ON COLUMN public.communication_backups.backup_type IS
'full, or what changed since the last full (differential) or since any (incremental); once completed, what was made.';
COMMENT ON COLUMN public.communication_backups.status IS
'requested, running, completed, failed, or expired: retention removed it from the repository.';
COMMENT ON COLUMN public.communication_backups.row_count IS
'Live rows of the tables in public when it completed, as the statistics collector counts them; NULL: not known.';
COMMENT ON COLUMN public.communication_backups.backup_size_bytes IS 'Bytes of the database as it was backed up.';
COMMENT ON COLUMN public.communication_backups.repository_size_bytes IS
'Bytes it takes in the repository, compressed and encrypted.';
COMMENT ON COLUMN public.communication_backups.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN public.communication_backups.requested_by IS
'The login that asked; `repository` where the ledger learned of the backup from there, as after a restore.';
COMMENT ON COLUMN public.communication_backups.attempts IS 'How often an agent has started it; three at most.';
COMMENT ON COLUMN public.communication_backups.node IS 'The machine whose agent takes or took it.';
COMMENT ON COLUMN public.communication_backups.lease_until IS
'Until then nobody else may take it over; the agent extends it. After a failure that may pass: until the next attempt.';
COMMENT ON COLUMN public.communication_backups.started_at IS 'When the last attempt started.';
COMMENT ON COLUMN public.communication_backups.completed_at IS 'When pgBackRest had stored it whole.';
COMMENT ON COLUMN public.communication_backups.failed_at IS 'When it was given up.';
COMMENT ON COLUMN public.communication_backups.error IS
'Why it was given up; while it runs, why the attempt before was.';
COMMENT ON COLUMN public.communication_backups.label IS 'pgBackRest''s name of it, for `pgbackrest restore --set`.';
COMMENT ON COLUMN public.communication_backups.lsn_start IS 'Where it starts in the write-ahead log.';
COMMENT ON COLUMN public.communication_backups.lsn_stop IS 'From there on a restore is consistent.';
COMMENT ON COLUMN public.communication_backups.wal_start IS 'First write-ahead log segment it needs.';
COMMENT ON COLUMN public.communication_backups.wal_stop IS 'Last write-ahead log segment it needs.';
COMMENT ON COLUMN public.communication_backups.checksum_errors IS
'Damaged pages it found in the data files; must be 0.';
COMMENT ON COLUMN public.communication_backups.verified_at IS 'When a restore of it was proven; NULL: never.';
COMMENT ON COLUMN public.communication_backups.verified_by IS 'The drill that proved it.';
