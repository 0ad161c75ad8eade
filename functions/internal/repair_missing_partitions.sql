SET LOCAL ROLE comms_maintenance; -- it repairs for every tenant
CREATE OR REPLACE FUNCTION internal.repair_missing_partitions(p_since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Make the missing partitions. Returns for how many tables. */
DECLARE
    v_before bigint;
    v_repaired bigint;
BEGIN
    SELECT count(*) INTO v_before FROM internal.integrity_missing_partitions(p_since);
    PERFORM internal.maintain_partitions();
    SELECT v_before - count(*) INTO v_repaired FROM internal.integrity_missing_partitions(p_since);
    RETURN v_repaired;
END
$plpgsql$;

COMMENT ON FUNCTION internal.repair_missing_partitions(timestamptz) IS
'Repair: every table has its next months.';
REVOKE ALL ON FUNCTION internal.repair_missing_partitions(timestamptz) FROM PUBLIC;
