SET LOCAL ROLE comms_maintenance; -- it measures over every tenant, and shows sums only
CREATE OR REPLACE FUNCTION internal.measure_database()
RETURNS TABLE (metric_name text, labels jsonb, metric_value double precision, measured_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Counters of this database, and the share of pages found in memory since the last measurement. */
    WITH counted AS (
        SELECT database.blks_hit, database.blks_read, database.xact_commit, database.xact_rollback, database.deadlocks
        FROM pg_stat_database AS database WHERE database.datname = current_database()
    ),

    before AS (
        SELECT
            max(metric.metric_value) FILTER (WHERE metric.metric_name = 'blocks_hit_total') AS blks_hit,
            max(metric.metric_value) FILTER (WHERE metric.metric_name = 'blocks_read_total') AS blks_read
        FROM public.communication_performance_metrics AS metric
        WHERE
            metric.metric_name IN ('blocks_hit_total', 'blocks_read_total')
            AND metric.metric_timestamp > now() - interval '10 minutes'
    )

    SELECT figure.name, '{}'::jsonb, figure.value, now()
    FROM counted
    CROSS JOIN before
    CROSS JOIN LATERAL (
        VALUES
        ('blocks_hit_total', counted.blks_hit::double precision),
        ('blocks_read_total', counted.blks_read::double precision),
        ('commits_total', counted.xact_commit::double precision),
        ('rollbacks_total', counted.xact_rollback::double precision),
        ('deadlocks_total', counted.deadlocks::double precision),
        (
            'cache_hit_percent',
            -- Counters that went back were reset: no figure this time.
            CASE
                WHEN counted.blks_hit > before.blks_hit AND counted.blks_read >= before.blks_read THEN
                    100 * (counted.blks_hit - before.blks_hit)
                    / (counted.blks_hit - before.blks_hit + counted.blks_read - before.blks_read)
            END
        )
    ) AS figure (name, value)
    WHERE figure.value IS NOT NULL
$sql$;

COMMENT ON FUNCTION internal.measure_database() IS 'Metrics: counters of this database, pages found in memory.';
REVOKE ALL ON FUNCTION internal.measure_database() FROM PUBLIC;
