CREATE OR REPLACE FUNCTION internal.report_pool_applied(
    p_pool text, p_node text, p_revision bigint, p_values jsonb
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Record what the pooler of one machine runs with. The pool counts as applied once every machine that
   reports has its newest revision. Raises GC122 if there is no such pool or revision. */
BEGIN
    PERFORM FROM public.communication_pool_config AS wanted
    WHERE wanted.pool_name = p_pool AND p_revision BETWEEN 1 AND wanted.revision
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no revision % of pool "%"', p_revision, p_pool
        USING ERRCODE = 'GC122', HINT = 'Read desired_pools() again and report what it says.';
    END IF;
    INSERT INTO internal.pool_reports AS report (pool_name, node, revision, applied_values)
    VALUES (p_pool, p_node, p_revision, p_values)
    ON CONFLICT (pool_name, node) DO UPDATE
    SET revision = excluded.revision, applied_values = excluded.applied_values, reported_at = clock_timestamp();
    UPDATE public.communication_pool_config AS wanted
    SET applied_values = reports.by_node,
        applied_at = CASE WHEN reports.oldest = wanted.revision THEN reports.newest_report END
    FROM (
        SELECT
            jsonb_object_agg(report.node, report.applied_values) AS by_node,
            min(report.revision) AS oldest,
            max(report.reported_at) AS newest_report
        FROM internal.pool_reports AS report
        WHERE report.pool_name = p_pool
    ) AS reports
    WHERE wanted.pool_name = p_pool;
END
$plpgsql$;

COMMENT ON FUNCTION internal.report_pool_applied(text, text, bigint, jsonb) IS
'Record what the pooler of one machine runs with.';
REVOKE ALL ON FUNCTION internal.report_pool_applied(text, text, bigint, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.report_pool_applied(text, text, bigint, jsonb) TO comms_agent;
