CREATE OR REPLACE FUNCTION internal.health_oldest_transaction(
    p_warn interval DEFAULT '5 minutes', p_fail interval DEFAULT '30 minutes',
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Transactions that stay open for p_warn or p_fail keep every dead row since: the queue slows down first. */
DECLARE
    v_oldest interval;
BEGIN
    PERFORM internal.require_statistics();
    SELECT max(now() - old.began_at) INTO v_oldest
    FROM (
        SELECT session.xact_start FROM pg_stat_activity AS session
        WHERE session.backend_type = 'client backend' AND session.pid <> pg_backend_pid()
        UNION ALL
        SELECT prepared.prepared FROM pg_prepared_xacts AS prepared
    ) AS old (began_at);
    SELECT
        CASE
            WHEN v_oldest IS NULL OR v_oldest < p_warn THEN 'pass'
            WHEN v_oldest < p_fail THEN 'warn'
            ELSE 'fail'
        END,
        coalesce(extract(EPOCH FROM v_oldest)::bigint || ' seconds', 'none is open'),
        format('less than %s seconds; %s fail', extract(EPOCH FROM p_warn)::bigint, extract(EPOCH FROM p_fail)::bigint),
        'SELECT pid, usename, state, xact_start, query FROM pg_stat_activity ORDER BY xact_start; then end it.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_oldest_transaction(interval, interval) IS 'Health: no transaction stays open.';
REVOKE ALL ON FUNCTION internal.health_oldest_transaction(interval, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_oldest_transaction(interval, interval)
TO comms_ops, comms_monitor, comms_maintenance;
