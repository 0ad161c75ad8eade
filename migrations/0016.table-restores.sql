-- Restores of single tables: what a drill carries out of its copy into schema `restored`,
-- and what became of it there.
-- Locks: none, the table is new.
CREATE TABLE public.communication_table_restores (
    drill_id text PRIMARY KEY REFERENCES public.communication_restore_drills (drill_id),
    table_name text NOT NULL CHECK (table_name ~ '^(public|internal)[.][a-z_][a-z0-9_]{0,62}$'),
    row_predicate text CHECK (pg_catalog.length(row_predicate) BETWEEN 1 AND 10000),
    requested_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    requested_by name NOT NULL DEFAULT session_user,
    definition jsonb CHECK (pg_catalog.jsonb_typeof(definition) = 'object'),
    row_count bigint CHECK (row_count >= 0),
    carried_at timestamptz,
    compared_at timestamptz,
    differences jsonb CHECK (pg_catalog.jsonb_typeof(differences) = 'object'),
    applied_at timestamptz,
    applied_by name,
    dropped_at timestamptz,
    CONSTRAINT communication_table_restores_carried CHECK (
        (carried_at IS NULL) = (row_count IS NULL) AND (carried_at IS NULL OR definition IS NOT NULL)
    ),
    CONSTRAINT communication_table_restores_compared CHECK ((compared_at IS NULL) = (differences IS NULL)),
    CONSTRAINT communication_table_restores_applied CHECK ((applied_at IS NULL) = (applied_by IS NULL))
);

COMMENT ON TABLE public.communication_table_restores IS
'Tables brought back as they were into schema `restored`, to be compared and copied back by a person.';
COMMENT ON COLUMN public.communication_table_restores.drill_id IS
'The restore beside the cluster that it is part of; the rows are in restored.<drill_id> until they are dropped.';
COMMENT ON COLUMN public.communication_table_restores.table_name IS 'Schema and name; it may be there no more.';
COMMENT ON COLUMN public.communication_table_restores.row_predicate IS
'Which rows were wanted, as in WHERE; NULL: all.';
COMMENT ON COLUMN public.communication_table_restores.requested_at IS 'When it was asked for.';
COMMENT ON COLUMN public.communication_table_restores.requested_by IS 'The login that asked.';
COMMENT ON COLUMN public.communication_table_restores.definition IS
'The table as it was: columns, primary key, foreign keys that led to it, and the SQL that makes it.';
COMMENT ON COLUMN public.communication_table_restores.row_count IS 'Rows that were carried over.';
COMMENT ON COLUMN public.communication_table_restores.carried_at IS 'When the last of them was.';
COMMENT ON COLUMN public.communication_table_restores.compared_at IS 'When they were compared with the live table.';
COMMENT ON COLUMN public.communication_table_restores.differences IS
'Rows by kind (missing, changed, extra, protected) at the last comparison, and what became of them since.';
COMMENT ON COLUMN public.communication_table_restores.applied_at IS 'When the reviewed SQL had run to its end.';
COMMENT ON COLUMN public.communication_table_restores.applied_by IS 'The login that ran it.';
COMMENT ON COLUMN public.communication_table_restores.dropped_at IS 'When the rows were thrown away.';
