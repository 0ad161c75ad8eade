CREATE OR REPLACE FUNCTION internal.lock_month(p_parent regclass, p_from timestamptz) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Retention: keep everybody else out of one month of a table, as its owner, until the end of the transaction. */
DECLARE
    v_partition regclass;
BEGIN
    SELECT month.partition INTO v_partition
    FROM internal.months_of(p_parent) AS month WHERE month.from_moment = p_from;
    IF v_partition IS NOT NULL THEN
        EXECUTE format('LOCK TABLE %s IN ACCESS EXCLUSIVE MODE', v_partition);
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.lock_month(regclass, timestamptz) IS
'Retention: keep everybody else out of one month of a table.';
REVOKE ALL ON FUNCTION internal.lock_month(regclass, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.lock_month(regclass, timestamptz) TO comms_maintenance;
