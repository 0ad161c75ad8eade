-- What operations measure and prove: metrics, slow statements, load runs, restore drills, integrity; pools that scale.
-- Nothing here is of a tenant or has personal data: no row security.
-- Locks: ACCESS EXCLUSIVE on communication_pool_config, which has a row or two; everything else is new.
CREATE TABLE public.communication_performance_metrics (
    metric_name text NOT NULL CHECK (metric_name ~ '^[a-z][a-z0-9_]{0,62}$'),
    metric_timestamp timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    labels jsonb NOT NULL DEFAULT '{}' CHECK (pg_catalog.jsonb_typeof(labels) = 'object'),
    metric_value double precision NOT NULL,
    PRIMARY KEY (metric_name, metric_timestamp, labels)
) PARTITION BY RANGE (metric_timestamp);
-- What happened in the last hours, whatever the name.
CREATE INDEX communication_performance_metrics_recent
ON public.communication_performance_metrics USING brin (metric_timestamp);

CREATE TABLE public.communication_query_performance (
    query_hash bigint NOT NULL,
    query_text text NOT NULL,
    execution_time_ms double precision NOT NULL CHECK (execution_time_ms >= 0),
    rows_affected double precision NOT NULL CHECK (rows_affected >= 0),
    calls bigint NOT NULL CHECK (calls >= 1),
    plan jsonb,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (query_hash, created_at)
) PARTITION BY RANGE (created_at);

CREATE TABLE internal.communication_performance_metrics_template ()
WITH (autovacuum_vacuum_insert_scale_factor = 0.1);
CREATE TABLE internal.communication_query_performance_template ()
WITH (autovacuum_vacuum_insert_scale_factor = 0.1);

DO $partitions$
BEGIN
    PERFORM partman.create_parent(
        p_parent_table => 'public.' || wanted.parent, p_control => wanted.control, p_interval => '1 month',
        p_premake => 3, p_start_partition => pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-01'),
        p_default_table => false, p_template_table => 'internal.' || wanted.parent || '_template'
    )
    FROM (
        VALUES
        ('communication_performance_metrics', 'metric_timestamp'),
        ('communication_query_performance', 'created_at')
    ) AS wanted (parent, control);
END
$partitions$;
-- Measurements are dropped by the month; what happened two months ago is compared with load runs, not with these.
UPDATE partman.part_config
SET infinite_time_partitions = true, retention = '2 months', retention_keep_table = false
WHERE parent_table IN ('public.communication_performance_metrics', 'public.communication_query_performance');

CREATE TABLE public.communication_load_metrics (
    run_id uuid NOT NULL,
    scenario text NOT NULL CHECK (pg_catalog.length(scenario) BETWEEN 1 AND 100),
    metric_name text NOT NULL CHECK (metric_name ~ '^[a-z][a-z0-9_]{0,62}$'),
    labels jsonb NOT NULL DEFAULT '{}' CHECK (pg_catalog.jsonb_typeof(labels) = 'object'),
    metric_value double precision NOT NULL,
    started_at timestamptz NOT NULL,
    completed_at timestamptz NOT NULL,
    machine text NOT NULL CHECK (pg_catalog.length(machine) BETWEEN 1 AND 200),
    commit_id text NOT NULL CHECK (commit_id ~ '^[0-9a-f]{7,40}(-dirty)?$'),
    recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    recorded_by name NOT NULL DEFAULT session_user,
    PRIMARY KEY (run_id, scenario, metric_name, labels),
    CONSTRAINT communication_load_metrics_times CHECK (started_at <= completed_at)
);

CREATE TABLE public.communication_restore_drills (
    drill_id text PRIMARY KEY CHECK (drill_id ~ '^drill_[0-9]{8}_[0-9]{6}_[0-9]{6}$'),
    backup_id text REFERENCES public.communication_backups (backup_id),
    recovery_point_id text REFERENCES public.communication_recovery_points (recovery_point_id),
    target text NOT NULL CHECK (pg_catalog.length(target) BETWEEN 1 AND 200),
    node text CHECK (node ~ '^[a-z][a-z0-9-]{0,62}$'),
    status text NOT NULL DEFAULT 'running' CHECK (status IN ('running', 'completed', 'failed')),
    started_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    completed_at timestamptz,
    recovery_seconds double precision CHECK (recovery_seconds >= 0),
    findings jsonb NOT NULL DEFAULT '[]' CHECK (pg_catalog.jsonb_typeof(findings) = 'array'),
    verdict text CHECK (verdict IN ('proven', 'refuted')),
    error text CHECK (pg_catalog.length(error) BETWEEN 1 AND 4000),
    CONSTRAINT communication_restore_drills_running CHECK ((status = 'running') = (completed_at IS NULL)),
    CONSTRAINT communication_restore_drills_completed CHECK (
        (status = 'completed') = (verdict IS NOT NULL)
        AND (status <> 'completed' OR (backup_id IS NOT NULL AND recovery_seconds IS NOT NULL))
    ),
    CONSTRAINT communication_restore_drills_failed CHECK ((status = 'failed') = (error IS NOT NULL))
);
CREATE INDEX communication_restore_drills_started_at ON public.communication_restore_drills (started_at);

ALTER TABLE public.communication_pool_config
ADD COLUMN autoscale boolean NOT NULL DEFAULT false,
ADD COLUMN autoscale_min bigint CHECK (autoscale_min BETWEEN 1 AND 5000),
ADD COLUMN autoscale_max bigint CHECK (autoscale_max BETWEEN 1 AND 5000);
ALTER TABLE public.communication_pool_config ADD CONSTRAINT communication_pool_config_autoscale CHECK (
    (autoscale_min IS NULL) = (autoscale_max IS NULL) AND autoscale_min <= autoscale_max
    AND (NOT autoscale OR autoscale_min IS NOT NULL)
) NOT VALID;
-- A row or two to read.
-- squawk-ignore constraint-missing-not-valid
ALTER TABLE public.communication_pool_config VALIDATE CONSTRAINT communication_pool_config_autoscale;

-- One row a machine, updated every few seconds: the streaks are kept, not the reports.
CREATE TABLE internal.pool_loads (
    pool_name text NOT NULL REFERENCES public.communication_pool_config (pool_name) ON DELETE CASCADE,
    node text NOT NULL CHECK (node ~ '^[a-z][a-z0-9-]{0,62}$'),
    waiting bigint NOT NULL CHECK (waiting >= 0),
    active bigint NOT NULL CHECK (active >= 0),
    reports_waiting bigint NOT NULL DEFAULT 0,
    idle_since timestamptz,
    reported_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (pool_name, node)
)
WITH (fillfactor = 50);

-- What pg_stat_statements had counted when each taker last looked: what happened since is the difference.
CREATE TABLE internal.statement_totals (
    taker text NOT NULL,
    user_oid oid NOT NULL,
    query_id bigint NOT NULL,
    stats_since timestamptz NOT NULL,
    calls bigint NOT NULL,
    total_ms double precision NOT NULL,
    row_count bigint NOT NULL,
    PRIMARY KEY (taker, user_oid, query_id)
)
WITH (fillfactor = 50);

CREATE TABLE internal.integrity_results (
    check_name text PRIMARY KEY,
    severity text NOT NULL CHECK (severity IN ('error', 'warning')),
    found bigint NOT NULL CHECK (found >= 0),
    checked_at timestamptz NOT NULL,
    since timestamptz NOT NULL
);

COMMENT ON TABLE internal.communication_performance_metrics_template IS
'Storage options of the partitions of communication_performance_metrics.';
COMMENT ON TABLE internal.communication_query_performance_template IS
'Storage options of the partitions of communication_query_performance.';
COMMENT ON TABLE public.communication_performance_metrics IS
'Measurements of each minute by collect_performance_metrics(), in monthly partitions; kept two months.';
COMMENT ON COLUMN public.communication_performance_metrics.metric_name IS
'What was measured; docs/reference/metrics.md says how.';
COMMENT ON COLUMN public.communication_performance_metrics.metric_timestamp IS 'When.';
COMMENT ON COLUMN public.communication_performance_metrics.labels IS 'Of what: {"function": "claim_batches"}.';
COMMENT ON COLUMN public.communication_performance_metrics.metric_value IS
'The value, in the unit that the name ends with.';
COMMENT ON TABLE public.communication_query_performance IS
'Statements that were slow, by explain_slow_queries(), in monthly partitions; kept two months.';
COMMENT ON COLUMN public.communication_query_performance.query_hash IS 'queryid of pg_stat_statements.';
COMMENT ON COLUMN public.communication_query_performance.query_text IS 'The statement, with $1 in place of values.';
COMMENT ON COLUMN public.communication_query_performance.execution_time_ms IS
'Average of a call since explain_slow_queries() last looked.';
COMMENT ON COLUMN public.communication_query_performance.rows_affected IS
'Rows returned or changed by a call, average.';
COMMENT ON COLUMN public.communication_query_performance.calls IS 'Calls since it last looked.';
COMMENT ON COLUMN public.communication_query_performance.plan IS
'EXPLAIN (GENERIC_PLAN) as seen across all tenants; NULL where a statement cannot be explained.';
COMMENT ON COLUMN public.communication_query_performance.created_at IS 'When it was noted.';
COMMENT ON TABLE public.communication_load_metrics IS 'What load runs measured, one row a figure.';
COMMENT ON COLUMN public.communication_load_metrics.run_id IS 'The run.';
COMMENT ON COLUMN public.communication_load_metrics.scenario IS 'What was done to the system.';
COMMENT ON COLUMN public.communication_load_metrics.metric_name IS 'The figure.';
COMMENT ON COLUMN public.communication_load_metrics.labels IS 'Of what, if the figure exists several times.';
COMMENT ON COLUMN public.communication_load_metrics.metric_value IS 'Its value, in the unit that the name ends with.';
COMMENT ON COLUMN public.communication_load_metrics.started_at IS 'Begin of the scenario.';
COMMENT ON COLUMN public.communication_load_metrics.completed_at IS 'Its end.';
COMMENT ON COLUMN public.communication_load_metrics.machine IS 'What it ran on: processors, memory, disks.';
COMMENT ON COLUMN public.communication_load_metrics.commit_id IS 'Which sources were measured.';
COMMENT ON COLUMN public.communication_load_metrics.recorded_at IS 'When it was stored.';
COMMENT ON COLUMN public.communication_load_metrics.recorded_by IS 'The login that stored it.';
COMMENT ON TABLE public.communication_restore_drills IS
'Restores that were tried, and what they proved. A backup counts as verified by a drill alone.';
COMMENT ON COLUMN public.communication_restore_drills.drill_id IS
'drill_<date>_<time>_<microseconds> of its start, UTC.';
COMMENT ON COLUMN public.communication_restore_drills.backup_id IS 'The backup that was restored.';
COMMENT ON COLUMN public.communication_restore_drills.recovery_point_id IS 'The named point it stopped at, if one.';
COMMENT ON COLUMN public.communication_restore_drills.target IS
'Where the restore was to stop: latest, a time, a name.';
COMMENT ON COLUMN public.communication_restore_drills.node IS 'The machine that restored.';
COMMENT ON COLUMN public.communication_restore_drills.status IS
'running; completed: it came to a verdict; failed: it did not.';
COMMENT ON COLUMN public.communication_restore_drills.started_at IS 'When it began.';
COMMENT ON COLUMN public.communication_restore_drills.completed_at IS 'When it ended.';
COMMENT ON COLUMN public.communication_restore_drills.recovery_seconds IS
'From the order to restore until the copy answered queries.';
COMMENT ON COLUMN public.communication_restore_drills.findings IS 'What was compared, and what differed.';
COMMENT ON COLUMN public.communication_restore_drills.verdict IS
'proven or refuted: whether the copy was whole and right.';
COMMENT ON COLUMN public.communication_restore_drills.error IS 'Why it failed.';
COMMENT ON COLUMN public.communication_pool_config.autoscale IS
'true: max_connections follows the load, between autoscale_min and autoscale_max.';
COMMENT ON COLUMN public.communication_pool_config.autoscale_min IS 'Never fewer.';
COMMENT ON COLUMN public.communication_pool_config.autoscale_max IS 'Never more.';
COMMENT ON TABLE internal.pool_loads IS 'How busy each machine''s pool is, as its agent last reported.';
COMMENT ON COLUMN internal.pool_loads.pool_name IS 'The pool.';
COMMENT ON COLUMN internal.pool_loads.node IS 'The machine.';
COMMENT ON COLUMN internal.pool_loads.waiting IS 'Clients that waited for a server connection.';
COMMENT ON COLUMN internal.pool_loads.active IS 'Server connections that worked for a client.';
COMMENT ON COLUMN internal.pool_loads.reports_waiting IS 'Consecutive reports in which clients waited.';
COMMENT ON COLUMN internal.pool_loads.idle_since IS
'Since when less than half of the pool is in use; NULL: it is in use, or the pool has just been changed.';
COMMENT ON COLUMN internal.pool_loads.reported_at IS 'When.';
COMMENT ON TABLE internal.statement_totals IS 'Counters of pg_stat_statements as they were when a taker last looked.';
COMMENT ON COLUMN internal.statement_totals.taker IS 'Who looks: metrics, slow.';
COMMENT ON COLUMN internal.statement_totals.user_oid IS 'The role that ran the statement.';
COMMENT ON COLUMN internal.statement_totals.query_id IS 'The statement.';
COMMENT ON COLUMN internal.statement_totals.stats_since IS
'Since when it is counted: later than noted means from zero.';
COMMENT ON COLUMN internal.statement_totals.calls IS 'Calls.';
COMMENT ON COLUMN internal.statement_totals.total_ms IS 'Milliseconds they took.';
COMMENT ON COLUMN internal.statement_totals.row_count IS 'Rows they returned or changed.';
COMMENT ON TABLE internal.integrity_results IS 'What each integrity check found last, for the health check.';
COMMENT ON COLUMN internal.integrity_results.check_name IS 'The check.';
COMMENT ON COLUMN internal.integrity_results.severity IS 'error: data is wrong; warning: somebody should look.';
COMMENT ON COLUMN internal.integrity_results.found IS 'How many.';
COMMENT ON COLUMN internal.integrity_results.checked_at IS 'When.';
COMMENT ON COLUMN internal.integrity_results.since IS 'It looked at what was made from then on.';
