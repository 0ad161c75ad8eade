SET LOCAL ROLE comms_maintenance; -- it looks at every tenant
CREATE OR REPLACE FUNCTION internal.integrity_stuck_sending(p_since timestamptz)
RETURNS TABLE (organization_id uuid, id uuid, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Recipients that somebody has been sending to for an hour without a lease: nobody will answer for them. */
    SELECT
        recipient.organization_id, recipient.id,
        jsonb_build_object('communication_id', recipient.communication_id, 'sending_at', recipient.sending_at)
    FROM public.communication_recipients AS recipient
    WHERE
        recipient.communication_created_at >= p_since AND recipient.status = 'sending'
        AND coalesce(recipient.sending_at, '-infinity') < now() - interval '1 hour'
        AND NOT EXISTS (
            SELECT FROM public.communication_batch_queue AS chunk
            WHERE
                chunk.organization_id = recipient.organization_id
                AND chunk.communication_id = recipient.communication_id AND chunk.state = 'leased'
                AND recipient.id BETWEEN chunk.first_recipient_id AND chunk.last_recipient_id
        )
    LIMIT 100000
$sql$;

COMMENT ON FUNCTION internal.integrity_stuck_sending(timestamptz) IS
'Integrity: recipients being sent to for an hour under no lease.';
REVOKE ALL ON FUNCTION internal.integrity_stuck_sending(timestamptz) FROM PUBLIC;
