SET LOCAL ROLE comms_maintenance; -- it repairs for every tenant
CREATE OR REPLACE FUNCTION internal.repair_counters(p_since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Add what counters are wrong by as open changes, which the next roll-up sums up with all others. Returns how many
   messages. */
DECLARE
    v_repaired bigint;
BEGIN
    WITH broken AS MATERIALIZED (
        SELECT found.organization_id, found.id, found.detail FROM internal.integrity_counters(p_since) AS found
    ), repaired AS (
        INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
        SELECT broken.organization_id, broken.id, wrong.key, wrong.value::bigint
        FROM broken CROSS JOIN LATERAL jsonb_each_text(broken.detail) AS wrong
    )
    SELECT count(*) INTO v_repaired FROM broken;
    RETURN v_repaired;
END
$plpgsql$;

COMMENT ON FUNCTION internal.repair_counters(timestamptz) IS
'Repair: counters are changed by what they are wrong.';
REVOKE ALL ON FUNCTION internal.repair_counters(timestamptz) FROM PUBLIC;
