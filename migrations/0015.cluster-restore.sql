-- Restores of the whole cluster: what they were, and the brake that stays on until what guests decided after the
-- target is known again.
-- Locks: ACCESS EXCLUSIVE on internal.sending_state, which has one row, for a moment.
-- squawk-ignore-file adding-field-with-default, adding-not-nullable-field, constraint-missing-not-valid
ALTER TABLE internal.sending_state
ADD COLUMN facts_due boolean NOT NULL DEFAULT false,
ADD CONSTRAINT sending_state_facts_due CHECK (NOT facts_due OR frozen);

CREATE TABLE public.communication_cluster_restores (
    restore_id text PRIMARY KEY CHECK (restore_id ~ '^restore_[0-9]{8}_[0-9]{6}$'),
    target_type text NOT NULL CHECK (target_type IN ('name', 'time', 'lsn', 'xid')),
    target text NOT NULL CHECK (pg_catalog.length(target) BETWEEN 1 AND 200),
    inclusive boolean NOT NULL,
    label text NOT NULL CHECK (label ~ '^[0-9]{8}-[0-9]{6}F(_[0-9]{8}-[0-9]{6}[DI])?$'),
    reached_lsn pg_lsn NOT NULL,
    reached_time timestamptz,
    abandoned_timeline bigint NOT NULL CHECK (abandoned_timeline >= 1),
    abandoned_at timestamptz NOT NULL,
    restored_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    facts jsonb CHECK (pg_catalog.jsonb_typeof(facts) = 'object'),
    facts_applied_at timestamptz,
    CONSTRAINT communication_cluster_restores_facts CHECK ((facts IS NULL) = (facts_applied_at IS NULL))
);

COMMENT ON COLUMN internal.sending_state.facts_due IS
'true: restored, and what was decided and sent after the target is not applied yet: thaw_sending() refuses.';
COMMENT ON TABLE public.communication_cluster_restores IS
'Every time the whole cluster was brought back to a moment: between target and switch the old timeline is abandoned.';
COMMENT ON COLUMN public.communication_cluster_restores.restore_id IS 'restore_<date>_<time> of the order, UTC.';
COMMENT ON COLUMN public.communication_cluster_restores.target_type IS 'name, time, lsn, xid: what `target` is.';
COMMENT ON COLUMN public.communication_cluster_restores.target IS 'What the cluster was restored to.';
COMMENT ON COLUMN public.communication_cluster_restores.inclusive IS
'Whether what lies exactly at the target was restored too.';
COMMENT ON COLUMN public.communication_cluster_restores.label IS 'pgBackRest''s name of the backup that was restored.';
COMMENT ON COLUMN public.communication_cluster_restores.reached_lsn IS
'Where recovery ended: what the abandoned timeline has behind it is not in this database.';
COMMENT ON COLUMN public.communication_cluster_restores.reached_time IS 'Commit of the last transaction it has.';
COMMENT ON COLUMN public.communication_cluster_restores.abandoned_timeline IS 'The timeline that was left.';
COMMENT ON COLUMN public.communication_cluster_restores.abandoned_at IS
'When the old cluster was stopped: what it committed from reached_time to here is lost but for the protective facts.';
COMMENT ON COLUMN public.communication_cluster_restores.restored_at IS 'When this row was written.';
COMMENT ON COLUMN public.communication_cluster_restores.facts IS
'How many protective facts were given, and how many of them changed something, by kind.';
COMMENT ON COLUMN public.communication_cluster_restores.facts_applied_at IS 'When all of them were applied.';
