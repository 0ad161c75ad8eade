SET LOCAL ROLE comms_maintenance; -- it measures over every tenant, and shows sums only
CREATE OR REPLACE FUNCTION internal.measure_statements()
RETURNS TABLE (metric_name text, labels jsonb, metric_value double precision, measured_at timestamptz)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* What pg_stat_statements counted in the last minute: calls and their average time, for all statements of clients
       and for each function of the API. A statement belongs to every function of ours that it names. */
    WITH called AS MATERIALIZED (
        SELECT deltas.query_text, deltas.calls, deltas.total_ms FROM internal.statement_deltas('metrics') AS deltas
        WHERE deltas.query_text ~* '^\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH)\M'
    ),

    by_function AS (
        SELECT routine.proname, sum(named.calls) AS calls, sum(named.total_ms) / sum(named.calls) AS average
        FROM (
            SELECT DISTINCT called.query_text, called.calls, called.total_ms, words.word[1] AS word
            FROM called
            CROSS JOIN LATERAL regexp_matches(left(called.query_text, 2000), '([a-z_]+)\s*\(', 'g') AS words (word)
        ) AS named
        JOIN (
            SELECT DISTINCT function.proname FROM pg_proc AS function
            WHERE function.pronamespace = 'public'::regnamespace
        ) AS routine ON routine.proname = named.word
        GROUP BY routine.proname
    )

    SELECT 'statement_avg_ms', '{}'::jsonb, sum(called.total_ms) / sum(called.calls), now() FROM called
    HAVING sum(called.calls) > 0
    UNION ALL
    SELECT 'statement_calls', '{}'::jsonb, coalesce(sum(called.calls), 0)::double precision, now() FROM called
    UNION ALL
    SELECT 'call_avg_ms', jsonb_build_object('function', by_function.proname), by_function.average, now()
    FROM by_function
    UNION ALL
    SELECT 'calls', jsonb_build_object('function', by_function.proname), by_function.calls::double precision, now()
    FROM by_function
$sql$;

COMMENT ON FUNCTION internal.measure_statements() IS 'Metrics: calls and average times of the last minute.';
REVOKE ALL ON FUNCTION internal.measure_statements() FROM PUBLIC;
