SET LOCAL ROLE comms_maintenance; -- it looks at every tenant
CREATE OR REPLACE FUNCTION internal.integrity_broken_references(p_since timestamptz)
RETURNS TABLE (organization_id uuid, id uuid, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Rows that name a row that does not exist. Foreign keys refuse that; only a restore with triggers off or a damaged
       index leads here. No repair: what is missing has to come back from a backup. */
    SELECT recipient.organization_id, recipient.id,
        jsonb_build_object('table', 'communication_recipients', 'communication_id', recipient.communication_id)
    FROM public.communication_recipients AS recipient
    WHERE
        recipient.communication_created_at >= p_since
        AND NOT EXISTS (
            SELECT FROM public.guest_communications AS message
            WHERE
                message.organization_id = recipient.organization_id AND message.id = recipient.communication_id
                AND message.created_at = recipient.communication_created_at
        )
    UNION ALL
    SELECT chunk.organization_id, chunk.communication_id,
        jsonb_build_object('table', 'communication_batch_queue', 'batch_id', chunk.batch_id)
    FROM public.communication_batch_queue AS chunk
    WHERE
        chunk.operation_type = 'send'
        AND NOT EXISTS (
            SELECT FROM public.guest_communications AS message
            WHERE
                message.organization_id = chunk.organization_id AND message.id = chunk.communication_id
                AND message.created_at = chunk.communication_created_at
        )
    UNION ALL
    SELECT dead.organization_id, dead.communication_id,
        jsonb_build_object('table', 'communication_dead_letters', 'dead_letter_id', dead.dead_letter_id)
    FROM public.communication_dead_letters AS dead
    WHERE
        dead.communication_created_at >= p_since
        AND NOT EXISTS (
            SELECT FROM public.guest_communications AS message
            WHERE
                message.organization_id = dead.organization_id AND message.id = dead.communication_id
                AND message.created_at = dead.communication_created_at
        )
    UNION ALL
    SELECT message.organization_id, message.id,
        jsonb_build_object('table', 'guest_communications', 'template_id', message.template_id)
    FROM public.guest_communications AS message
    WHERE
        message.created_at >= p_since AND message.template_id IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM public.message_template_versions AS version
            WHERE
                version.organization_id = message.organization_id AND version.template_id = message.template_id
                AND version.version = message.template_version
        )
    UNION ALL
    SELECT preference.organization_id, preference.guest_id,
        jsonb_build_object('table', 'communication_preferences', 'channel', preference.channel)
    FROM public.communication_preferences AS preference
    WHERE
        NOT EXISTS (
            SELECT FROM public.guests AS guest
            WHERE guest.organization_id = preference.organization_id AND guest.guest_id = preference.guest_id
        )
    LIMIT 100000
$sql$;

COMMENT ON FUNCTION internal.integrity_broken_references(timestamptz) IS
'Integrity: rows that name a row that does not exist.';
REVOKE ALL ON FUNCTION internal.integrity_broken_references(timestamptz) FROM PUBLIC;
