SET LOCAL ROLE comms_maintenance; -- it looks at every tenant, and shows ids only
CREATE OR REPLACE FUNCTION public.run_integrity_checks(p_since timestamptz DEFAULT now() - interval '2 months')
RETURNS TABLE (check_name text, severity text, count bigint, sample jsonb, fixable boolean)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Look for data that contradicts itself, in messages made from p_since on: older partitions are not read. One row per
   check: how many were found (100000 at most), five of them as a sample, whether repair_integrity() can repair them.
   A check that fails has count NULL and says why in sample. What was found is noted for the health check.
   Raises GC300 for NULL. */
BEGIN
    IF p_since IS NULL THEN
        RAISE EXCEPTION 'p_since is NULL'
        USING ERRCODE = 'GC300', HINT = 'Give the creation time of the oldest messages to check.';
    END IF;
    FOR check_name, severity, fixable IN
        SELECT known.check_name, known.severity, known.fixable FROM internal.integrity_checks() AS known
    LOOP
        BEGIN
            SELECT found.count, found.sample INTO count, sample
            FROM internal.find_broken(check_name, p_since) AS found;
            INSERT INTO internal.integrity_results AS result (check_name, severity, found, checked_at, since)
            VALUES (
                run_integrity_checks.check_name, run_integrity_checks.severity, run_integrity_checks.count,
                clock_timestamp(), p_since
            )
            ON CONFLICT ON CONSTRAINT integrity_results_pkey DO UPDATE
            SET severity = excluded.severity, found = excluded.found, checked_at = excluded.checked_at,
                since = excluded.since;
        EXCEPTION WHEN OTHERS THEN
            count := NULL;
            sample := jsonb_build_object('error', SQLERRM);
        END;
        RETURN NEXT;
    END LOOP;
END
$plpgsql$;

COMMENT ON FUNCTION public.run_integrity_checks(timestamptz) IS
'Look for data that contradicts itself: one row per check, with a count, a sample, and whether it can be repaired.';
REVOKE ALL ON FUNCTION public.run_integrity_checks(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.run_integrity_checks(timestamptz) TO comms_ops;
