SET LOCAL ROLE comms_maintenance; -- it looks at every tenant
CREATE OR REPLACE FUNCTION internal.integrity_missing_partitions(p_since timestamptz)
RETURNS TABLE (organization_id uuid, id uuid, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Partitioned tables without the next two months, or with a hole between their partitions; p_since does not matter. */
    SELECT
        NULL::uuid, NULL::uuid,
        jsonb_build_object('table', months.parent, 'ends_at', months.ends_at, 'holes', months.holes)
    FROM internal.partition_months() AS months
    WHERE months.ends_at IS NULL OR months.ends_at < now() + interval '2 months' OR months.holes > 0
$sql$;

COMMENT ON FUNCTION internal.integrity_missing_partitions(timestamptz) IS
'Integrity: tables without the next two months, or with a hole.';
REVOKE ALL ON FUNCTION internal.integrity_missing_partitions(timestamptz) FROM PUBLIC;
