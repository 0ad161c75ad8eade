SET LOCAL ROLE comms_maintenance; -- it looks at every tenant
CREATE OR REPLACE FUNCTION internal.integrity_unfinished_communications(p_since timestamptz)
RETURNS TABLE (organization_id uuid, id uuid, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Messages that have been sending for ten minutes although nobody in them is queued or being sent to. */
    SELECT message.organization_id, message.id, jsonb_build_object('created_at', message.created_at)
    FROM public.guest_communications AS message
    WHERE
        message.created_at BETWEEN p_since AND now() - interval '10 minutes' AND message.status = 'sending'
        AND NOT EXISTS (
            SELECT FROM public.communication_batch_queue AS chunk
            WHERE chunk.organization_id = message.organization_id AND chunk.communication_id = message.id
        )
        AND NOT EXISTS (
            SELECT FROM public.communication_recipients AS recipient
            WHERE
                recipient.organization_id = message.organization_id AND recipient.communication_id = message.id
                AND recipient.communication_created_at = message.created_at
                AND recipient.status IN ('queued', 'sending')
        )
    LIMIT 100000
$sql$;

COMMENT ON FUNCTION internal.integrity_unfinished_communications(timestamptz) IS
'Integrity: messages that are being sent although nobody is left.';
REVOKE ALL ON FUNCTION internal.integrity_unfinished_communications(timestamptz) FROM PUBLIC;
