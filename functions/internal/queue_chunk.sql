SET LOCAL ROLE comms_maintenance; -- operators act for every tenant
CREATE OR REPLACE FUNCTION internal.queue_chunk(
    p_organization_id uuid, p_batch_id text, p_communication_id uuid, p_first_recipient_id uuid,
    p_last_recipient_id uuid, p_recipients integer
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Put recipients that were queued again in line, behind what their organization has there. Other chunks may have some
   of them, too: whoever claims a recipient first sends to it. */
BEGIN
    INSERT INTO public.communication_batch_queue (
        organization_id, batch_id, operation_type, channel, priority, fair_rank, communication_id, communication_created_at,
        first_recipient_id, last_recipient_id, recipients
    )
    SELECT
        message.organization_id, p_batch_id, 'send', message.message_type, message.priority,
        internal.fair_rank(p_organization_id, message.message_type) + p_recipients,
        message.id, message.created_at, p_first_recipient_id, p_last_recipient_id, p_recipients
    FROM public.guest_communications AS message
    WHERE message.organization_id = p_organization_id AND message.id = p_communication_id
        AND message.created_at = internal.uuid_v7_time(p_communication_id);
END
$plpgsql$;

COMMENT ON FUNCTION internal.queue_chunk(uuid, text, uuid, uuid, uuid, integer) IS
'Put recipients that were queued again in line, behind what their organization has there.';
REVOKE ALL ON FUNCTION internal.queue_chunk(uuid, text, uuid, uuid, uuid, integer) FROM PUBLIC;
