CREATE OR REPLACE FUNCTION internal.suppress_queued(
    p_organization_id uuid, p_channel text, p_address_hash bytea, p_reason text,
    p_guest_id uuid DEFAULT NULL, p_consented_purpose text DEFAULT NULL, p_lock uuid DEFAULT NULL
) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
-- A partition that was empty when it was last analysed would be read whole for the few messages of one guest.
SET enable_seqscan = off
AS $plpgsql$
/* Take queued messages to an address out of the queue, and count them. Returns how many there were.
   p_guest_id names a guest who may have had the address earlier; p_consented_purpose leaves alone everything but
   messages that rest on consent for that purpose. Rows are locked in the order of their keys, like everywhere, and
   with them, whatever its state, the message p_lock, which the caller is going to change.
   What another transaction queues meanwhile is found by the gates when it is claimed. */
DECLARE
    v_suppressed bigint;
BEGIN
    WITH found AS (
        SELECT recipient.id, recipient.communication_created_at
        FROM public.communication_recipients AS recipient
        WHERE
            recipient.organization_id = p_organization_id
            AND recipient.guest_id IN (
                SELECT guest.guest_id FROM internal.guests_with_address(p_organization_id, p_channel, p_address_hash) AS guest
                UNION ALL
                SELECT p_guest_id
            )
        UNION
        SELECT recipient.id, recipient.communication_created_at
        FROM public.communication_recipients AS recipient
        WHERE
            recipient.organization_id = p_organization_id
            AND recipient.guest_id IS NULL AND recipient.address_hash = p_address_hash
        UNION
        SELECT p_lock, internal.uuid_v7_time(p_lock)
    ),
    locked AS MATERIALIZED (
        SELECT recipient.id, recipient.communication_created_at, recipient.status = 'queued' AS is_queued
        FROM found
        JOIN public.communication_recipients AS recipient
            ON recipient.organization_id = p_organization_id AND recipient.id = found.id
                AND recipient.communication_created_at = found.communication_created_at
        WHERE
            recipient.id = p_lock
            OR recipient.status = 'queued' AND recipient.channel = p_channel
            AND recipient.address_hash = p_address_hash
            AND (
                p_consented_purpose IS NULL
                OR recipient.lawful_basis = 'consent' AND p_consented_purpose = (
                    SELECT communication.purpose FROM public.guest_communications AS communication
                    WHERE
                        communication.organization_id = p_organization_id
                        AND communication.id = recipient.communication_id
                        AND communication.created_at = recipient.communication_created_at
                )
            )
        ORDER BY recipient.id
        FOR NO KEY UPDATE OF recipient
    ),
    suppressed AS (
        UPDATE public.communication_recipients AS recipient
        SET status = 'suppressed', suppression_reason = p_reason, suppressed_at = clock_timestamp()
        FROM locked
        WHERE
            recipient.organization_id = p_organization_id AND recipient.id = locked.id
            AND recipient.communication_created_at = locked.communication_created_at
            AND locked.is_queued
        RETURNING recipient.communication_id
    ),
    counted AS (
        INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
        SELECT p_organization_id, suppressed.communication_id, change.status, change.sign * count(*)
        FROM suppressed CROSS JOIN (VALUES ('queued', -1), ('suppressed', 1)) AS change (status, sign)
        GROUP BY suppressed.communication_id, change.status, change.sign
    )
    SELECT count(*) INTO v_suppressed FROM suppressed;
    RETURN v_suppressed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.suppress_queued(uuid, text, bytea, text, uuid, text, uuid) IS
'Take queued messages to an address out of the queue, and count them.';
REVOKE ALL ON FUNCTION internal.suppress_queued(uuid, text, bytea, text, uuid, text, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.suppress_queued(uuid, text, bytea, text, uuid, text, uuid) TO comms_maintenance;
