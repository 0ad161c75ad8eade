SET LOCAL ROLE comms_maintenance; -- it looks at every tenant
CREATE OR REPLACE FUNCTION internal.integrity_queued_without_chunk(p_since timestamptz)
RETURNS TABLE (organization_id uuid, id uuid, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Queued recipients of a message that is to be sent, that no row of the queue covers: they would wait for ever. */
    SELECT
        recipient.organization_id, recipient.id, jsonb_build_object('communication_id', recipient.communication_id)
    FROM public.guest_communications AS message
    JOIN public.communication_recipients AS recipient
        ON recipient.organization_id = message.organization_id AND recipient.communication_id = message.id
        AND recipient.communication_created_at = message.created_at
    WHERE
        message.created_at >= p_since AND recipient.communication_created_at >= p_since
        AND message.status IN ('scheduled', 'sending') AND recipient.status = 'queued'
        AND NOT EXISTS (
            SELECT FROM public.communication_batch_queue AS chunk
            WHERE
                chunk.organization_id = recipient.organization_id
                AND chunk.communication_id = recipient.communication_id
                AND recipient.id BETWEEN chunk.first_recipient_id AND chunk.last_recipient_id
        )
    LIMIT 100000
$sql$;

COMMENT ON FUNCTION internal.integrity_queued_without_chunk(timestamptz) IS
'Integrity: queued recipients that no row of the queue covers.';
REVOKE ALL ON FUNCTION internal.integrity_queued_without_chunk(timestamptz) FROM PUBLIC;
