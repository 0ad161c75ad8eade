CREATE OR REPLACE FUNCTION internal.require_statistics() RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Raise GC132 for a caller to whom the statistics views show empty columns: that is no zero. */
BEGIN
    IF NOT pg_has_role(CURRENT_USER, 'pg_read_all_stats', 'USAGE') THEN
        RAISE EXCEPTION '% may not see the sessions of others', CURRENT_USER
        USING ERRCODE = 'GC132', HINT = 'Ask as a member of comms_ops or comms_monitor.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.require_statistics() IS 'Refuses (GC132) a caller who may not see the sessions of others.';
REVOKE ALL ON FUNCTION internal.require_statistics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.require_statistics() TO comms_ops, comms_monitor;
