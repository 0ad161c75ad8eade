-- Named points in the write-ahead log that a restore can stop at.
-- The columns that state facts are filled by a trigger: a claim in an INSERT is replaced by what is true.
-- Locks: none, everything is new.
CREATE TABLE public.communication_recovery_points (
    recovery_point_id text PRIMARY KEY CHECK (recovery_point_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,39}$'),
    recovery_type text NOT NULL CHECK (recovery_type IN ('point_in_time', 'before_change')),
    tables_included text[] NOT NULL DEFAULT '{}',
    point_in_time timestamptz NOT NULL,
    consistent boolean NOT NULL DEFAULT false,
    restore_point_name text NOT NULL UNIQUE CHECK (pg_catalog.length(restore_point_name) <= 63),
    lsn pg_lsn NOT NULL,
    timeline bigint NOT NULL CHECK (timeline > 0),
    created_by name NOT NULL,
    verified_at timestamptz,
    verified_by text,
    CONSTRAINT communication_recovery_points_verified CHECK (
        consistent = (verified_at IS NOT NULL) AND consistent = (verified_by IS NOT NULL)
    )
);

COMMENT ON TABLE public.communication_recovery_points IS
'Points a restore can stop at. Inserting a row writes the point; the whole database can be restored to it.';
COMMENT ON COLUMN public.communication_recovery_points.recovery_point_id IS 'Your name for it, up to 40 characters.';
COMMENT ON COLUMN public.communication_recovery_points.recovery_type IS
'point_in_time, or before_change: made ahead of something risky.';
COMMENT ON COLUMN public.communication_recovery_points.tables_included IS
'The tables that matter to whoever made it. A restore brings back all of them, these or not.';
COMMENT ON COLUMN public.communication_recovery_points.point_in_time IS
'When the point was written: set by the server.';
COMMENT ON COLUMN public.communication_recovery_points.consistent IS
'True once a drill has restored to it, never before: a true in an INSERT is stored as false.';
COMMENT ON COLUMN public.communication_recovery_points.restore_point_name IS
'Its name in the write-ahead log, for `pgbackrest restore --type=name --target`.';
COMMENT ON COLUMN public.communication_recovery_points.lsn IS
'Its position in the write-ahead log: set by the server.';
COMMENT ON COLUMN public.communication_recovery_points.timeline IS 'The timeline it lies on: set by the server.';
COMMENT ON COLUMN public.communication_recovery_points.created_by IS 'The login that made it.';
COMMENT ON COLUMN public.communication_recovery_points.verified_at IS 'When a drill restored to it; NULL: never.';
COMMENT ON COLUMN public.communication_recovery_points.verified_by IS 'The drill that restored to it.';
