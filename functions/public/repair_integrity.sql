SET LOCAL ROLE comms_maintenance; -- it repairs for every tenant, and shows ids only
CREATE OR REPLACE FUNCTION public.repair_integrity(
    p_check text, p_dry_run boolean DEFAULT true, p_since timestamptz DEFAULT now() - interval '2 months'
) RETURNS TABLE (check_name text, count bigint, repaired bigint, sample jsonb)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Say what the repair of one check would repair, and with p_dry_run false do it: what that check finds in messages
   made from p_since on, 100000 at most, and nothing else; repeat it until nothing is found. repaired is NULL for a
   dry run. Raises GC300 for NULL, GC470 for an unknown check, GC471 for one without a repair. */
DECLARE
    v_fixable boolean;
BEGIN
    IF p_check IS NULL OR p_dry_run IS NULL OR p_since IS NULL THEN
        RAISE EXCEPTION '% is NULL',
            CASE WHEN p_check IS NULL THEN 'p_check' WHEN p_dry_run IS NULL THEN 'p_dry_run' ELSE 'p_since' END
        USING ERRCODE = 'GC300', HINT = 'Leave p_dry_run and p_since out, or give a value.';
    END IF;
    SELECT known.fixable INTO v_fixable FROM internal.integrity_checks() AS known WHERE known.check_name = p_check;
    IF v_fixable IS NULL THEN
        RAISE EXCEPTION 'there is no integrity check "%"', p_check
        USING ERRCODE = 'GC470', HINT = 'SELECT check_name FROM run_integrity_checks(); lists them.';
    END IF;
    IF NOT v_fixable THEN
        RAISE EXCEPTION 'what check "%" finds cannot be repaired by a function', p_check
        USING ERRCODE = 'GC471', HINT = format('\sf internal.integrity_%s says why, and what to do.', p_check);
    END IF;
    check_name := p_check;
    SELECT broken.count, broken.sample INTO count, sample FROM internal.find_broken(p_check, p_since) AS broken;
    IF NOT p_dry_run THEN
        EXECUTE format('SELECT internal.%I($1)', 'repair_' || p_check) USING p_since INTO repaired;
    END IF;
    RETURN NEXT;
END
$plpgsql$;

COMMENT ON FUNCTION public.repair_integrity(text, boolean, timestamptz) IS
'What the repair of an integrity check would repair; with p_dry_run false it does it.';
REVOKE ALL ON FUNCTION public.repair_integrity(text, boolean, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.repair_integrity(text, boolean, timestamptz) TO comms_ops;
