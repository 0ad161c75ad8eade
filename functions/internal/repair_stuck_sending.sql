SET LOCAL ROLE comms_maintenance; -- it repairs for every tenant
CREATE OR REPLACE FUNCTION internal.repair_stuck_sending(p_since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Who was being sent to without a lease becomes unknown: it may have been sent, so it is not sent again by itself.
   Returns how many. */
DECLARE
    v_repaired bigint;
BEGIN
    WITH broken AS MATERIALIZED (
        SELECT found.organization_id, found.id FROM internal.integrity_stuck_sending(p_since) AS found
        ORDER BY found.organization_id, found.id
    ), repaired AS (
        UPDATE public.communication_recipients AS recipient
        SET status = 'unknown', unknown_at = clock_timestamp(), error_code = 'stuck',
            error_message = 'nobody answered for it'
        FROM broken
        WHERE
            recipient.organization_id = broken.organization_id AND recipient.id = broken.id
            AND recipient.communication_created_at = internal.uuid_v7_time(broken.id) AND recipient.status = 'sending'
        RETURNING recipient.organization_id, recipient.communication_id
    ), counted AS (
        INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
        SELECT repaired.organization_id, repaired.communication_id, change.status, change.direction * count(*)
        FROM repaired CROSS JOIN (VALUES ('sending', -1), ('unknown', 1)) AS change (status, direction)
        GROUP BY repaired.organization_id, repaired.communication_id, change.status, change.direction
    )
    SELECT count(*) INTO v_repaired FROM repaired;
    RETURN v_repaired;
END
$plpgsql$;

COMMENT ON FUNCTION internal.repair_stuck_sending(timestamptz) IS
'Repair: who was being sent to under no lease is unknown.';
REVOKE ALL ON FUNCTION internal.repair_stuck_sending(timestamptz) FROM PUBLIC;
