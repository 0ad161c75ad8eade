SET LOCAL ROLE comms_maintenance; -- it repairs for every tenant
CREATE OR REPLACE FUNCTION internal.repair_duplicate_recipients(p_since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Of several recipients of a message with the same address only the first is sent to; the others are suppressed, with
   the reason duplicate. Returns how many. */
DECLARE
    v_repaired bigint;
BEGIN
    WITH broken AS MATERIALIZED (
        SELECT found.organization_id, found.id
        FROM internal.integrity_duplicate_recipients(p_since) AS found
        ORDER BY found.organization_id, found.id
    ), repaired AS (
        UPDATE public.communication_recipients AS recipient
        SET status = 'suppressed', suppressed_at = clock_timestamp(), suppression_reason = 'duplicate',
            next_attempt_at = NULL
        FROM broken
        WHERE
            recipient.organization_id = broken.organization_id AND recipient.id = broken.id
            AND recipient.communication_created_at = internal.uuid_v7_time(broken.id) AND recipient.status = 'queued'
        RETURNING recipient.organization_id, recipient.communication_id
    ), counted AS (
        INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
        SELECT repaired.organization_id, repaired.communication_id, change.status, change.direction * count(*)
        FROM repaired CROSS JOIN (VALUES ('queued', -1), ('suppressed', 1)) AS change (status, direction)
        GROUP BY repaired.organization_id, repaired.communication_id, change.status, change.direction
    )
    SELECT count(*) INTO v_repaired FROM repaired;
    RETURN v_repaired;
END
$plpgsql$;

COMMENT ON FUNCTION internal.repair_duplicate_recipients(timestamptz) IS
'Repair: of recipients with one address only the first stays queued.';
REVOKE ALL ON FUNCTION internal.repair_duplicate_recipients(timestamptz) FROM PUBLIC;
