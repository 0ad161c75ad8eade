CREATE OR REPLACE FUNCTION public.verify_production_readiness()
RETURNS TABLE (check_name text, status text, value text, threshold text, what_to_do text)
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* One row per check, from live facts only, with the caller's own rights. Each check is a function
       internal.readiness_<check>(); one that cannot be evaluated, for whatever reason, is unknown. */
    SELECT wanted.name, judged.status, judged.value, judged.threshold, judged.what_to_do
    FROM unnest(ARRAY[
        'standbys_streaming', 'synchronous_standby', 'replication_lag', 'replication_slots',
        'wal_archiving', 'full_backup', 'wal_audited', 'backups_verified', 'restore_proven', 'scheduled_jobs',
        'data_checksums', 'durable_writes', 'connections', 'connections_encrypted',
        'row_security', 'public_execute', 'login_bindings', 'encryption_keys',
        'extensions', 'partitions', 'invalid_indexes', 'transaction_ids'
    ]) WITH ORDINALITY AS wanted (name, place)
    CROSS JOIN LATERAL internal.judge('readiness_' || wanted.name) AS judged
    ORDER BY wanted.place
$sql$;

COMMENT ON FUNCTION public.verify_production_readiness() IS
'What live facts say about this cluster: one row per check, with status pass, warn, fail or unknown, and what to do.';
REVOKE ALL ON FUNCTION public.verify_production_readiness() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.verify_production_readiness() TO comms_ops, comms_monitor;
