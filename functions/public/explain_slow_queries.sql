SET LOCAL ROLE comms_maintenance; -- it may see the statements of everybody
CREATE OR REPLACE FUNCTION public.explain_slow_queries(p_threshold_ms double precision DEFAULT 100)
RETURNS SETOF public.communication_query_performance
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Note the statements that took p_threshold_ms or more on average since the last call, with their plans, and return
   what was noted. A job calls it every ten minutes. Texts have no literals; utility statements, whose literals
   pg_stat_statements keeps, are left out. Raises GC300 for NULL, GC133 for a negative threshold. */
BEGIN
    IF p_threshold_ms IS NULL THEN
        RAISE EXCEPTION 'p_threshold_ms is NULL'
        USING ERRCODE = 'GC300', HINT = 'Give milliseconds, such as 100.';
    END IF;
    IF NOT p_threshold_ms BETWEEN 0 AND 86400000 THEN
        RAISE EXCEPTION 'p_threshold_ms is %', p_threshold_ms
        USING ERRCODE = 'GC133', HINT = 'Give 0 to 86400000 milliseconds.';
    END IF;
    RETURN QUERY
    INSERT INTO public.communication_query_performance AS noted (
        query_hash, query_text, execution_time_ms, rows_affected, calls, plan
    )
    SELECT
        slow.query_id, text.masked, slow.total_ms / slow.calls, slow.row_count / slow.calls, slow.calls,
        CASE WHEN text.masked = slow.query_text THEN internal.generic_plan(slow.query_text) END
    FROM (
        SELECT
            deltas.query_id, deltas.query_text, sum(deltas.calls)::bigint AS calls, sum(deltas.total_ms) AS total_ms,
            sum(deltas.row_count)::double precision AS row_count
        FROM internal.statement_deltas('slow') AS deltas
        WHERE deltas.query_text ~* '^\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH)\M'
        GROUP BY deltas.query_id, deltas.query_text
        HAVING sum(deltas.total_ms) / sum(deltas.calls) >= p_threshold_ms
    ) AS slow
    -- Only texts of those that were slow, once each.
    CROSS JOIN LATERAL (SELECT internal.without_literals(slow.query_text) AS masked OFFSET 0) AS text
    ON CONFLICT DO NOTHING
    RETURNING noted.*;
END
$plpgsql$;

COMMENT ON FUNCTION public.explain_slow_queries(double precision) IS
'Note the statements that were slow since the last call, with their plans, in communication_query_performance.';
REVOKE ALL ON FUNCTION public.explain_slow_queries(double precision) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.explain_slow_queries(double precision) TO comms_ops;
