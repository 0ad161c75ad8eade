SET LOCAL ROLE comms_maintenance; -- keys are of tenants; it shows how many do not open
CREATE OR REPLACE FUNCTION internal.readiness_encryption_keys(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* This machine has its key-encryption key, and the keys open under it: all master keys and the newest data keys,
   a thousand at most. */
DECLARE
    v_machine constant text := internal.key_encryption_problem();
    v_keys bigint;
    v_closed bigint;
    v_problem text;
BEGIN
    SELECT count(*), count(tried.problem), min(tried.problem) INTO v_keys, v_closed, v_problem
    FROM (
        SELECT internal.key_problem(one) AS problem
        FROM public.communication_encryption_keys AS one
        WHERE one.state <> 'destroyed'
        ORDER BY one.key_type = 'data', one.created_at DESC
        LIMIT 1000
    ) AS tried;
    SELECT
        CASE WHEN v_machine IS NULL AND v_closed = 0 THEN 'pass' ELSE 'fail' END,
        concat_ws('; ', v_machine, format('%s keys tried, %s do not open', v_keys, v_closed), v_problem),
        'the key-encryption key can be read, every key opens',
        'Restore the key-encryption key from escrow, then `systemctl restart guestcomms-prepare` on this machine.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_encryption_keys() IS 'Readiness: the keys open on this machine.';
REVOKE ALL ON FUNCTION internal.readiness_encryption_keys() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_encryption_keys() TO comms_ops, comms_monitor;
