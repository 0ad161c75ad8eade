CREATE OR REPLACE FUNCTION public.verify_production_readiness()
RETURNS TABLE (check_name text, status text, value text, threshold text, what_to_do text)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* One row per check, from live facts only, with the caller's own rights. Each check is a function
   internal.readiness_<check>(); one that cannot be evaluated, for whatever reason, is unknown. */
DECLARE
    v_hint text;
BEGIN
    FOREACH check_name IN ARRAY ARRAY[
        'standbys_streaming', 'synchronous_standby', 'replication_lag', 'replication_slots',
        'wal_archiving', 'full_backup', 'restore_proven', 'scheduled_jobs',
        'data_checksums', 'durable_writes', 'connections', 'connections_encrypted',
        'row_security', 'public_execute', 'login_bindings',
        'extensions', 'invalid_indexes', 'transaction_ids'
    ] LOOP
        BEGIN
            EXECUTE format('SELECT * FROM internal.%I()', 'readiness_' || check_name)
            INTO status, value, threshold, what_to_do;
        EXCEPTION WHEN OTHERS THEN
            GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT;
            status := 'unknown';
            value := SQLERRM;
            threshold := 'can be evaluated';
            what_to_do := coalesce(nullif(v_hint, ''), 'Find out why it cannot be evaluated.');
        END;
        IF status = 'pass' THEN
            what_to_do := '';
        END IF;
        RETURN NEXT;
    END LOOP;
END
$plpgsql$;

COMMENT ON FUNCTION public.verify_production_readiness() IS
'What live facts say about this cluster: one row per check, with status pass, warn, fail or unknown, and what to do.';
REVOKE ALL ON FUNCTION public.verify_production_readiness() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.verify_production_readiness() TO comms_ops, comms_monitor;
