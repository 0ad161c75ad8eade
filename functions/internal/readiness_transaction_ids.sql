CREATE OR REPLACE FUNCTION internal.readiness_transaction_ids(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Autovacuum keeps the oldest transaction id young: PostgreSQL stops writing at two thousand millions. */
DECLARE
    v_oldest bigint;
    v_oldest_multi bigint;
BEGIN
    SELECT max(age(datfrozenxid)), max(mxid_age(datminmxid)) INTO v_oldest, v_oldest_multi FROM pg_database;
    v_oldest := greatest(v_oldest, v_oldest_multi);
    SELECT
        CASE WHEN v_oldest < 500000000 THEN 'pass' WHEN v_oldest < 1000000000 THEN 'warn' ELSE 'fail' END,
        format('%s transactions old', v_oldest),
        'less than 500000000; 1000000000 fails',
        'Look for what holds vacuum back: old transactions, prepared transactions, inactive replication slots.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_transaction_ids() IS 'Readiness: transaction ids are far from running out.';
REVOKE ALL ON FUNCTION internal.readiness_transaction_ids() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_transaction_ids() TO comms_ops, comms_monitor;
