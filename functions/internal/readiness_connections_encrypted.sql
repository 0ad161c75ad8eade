CREATE OR REPLACE FUNCTION internal.readiness_connections_encrypted(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Nobody talks to this server over a network in clear. */
DECLARE
    v_clear bigint;
BEGIN
    PERFORM internal.require_statistics();
    SELECT count(*) INTO v_clear
    FROM pg_stat_activity AS activity
    JOIN pg_stat_ssl AS tls ON tls.pid = activity.pid
    WHERE activity.client_addr IS NOT NULL AND NOT tls.ssl;
    SELECT
        CASE WHEN current_setting('ssl') = 'on' AND v_clear = 0 THEN 'pass' ELSE 'fail' END,
        format('ssl %s, %s connections in clear', current_setting('ssl'), v_clear),
        'ssl on, 0 connections in clear',
        'Allow only hostssl in pg_hba.conf, and let clients connect with sslmode=verify-full.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_connections_encrypted() IS
'Readiness: no connection over the network is in clear.';
REVOKE ALL ON FUNCTION internal.readiness_connections_encrypted() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_connections_encrypted() TO comms_ops, comms_monitor;
