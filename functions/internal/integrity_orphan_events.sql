SET LOCAL ROLE comms_maintenance; -- it looks at every tenant
CREATE OR REPLACE FUNCTION internal.integrity_orphan_events(p_since timestamptz)
RETURNS TABLE (organization_id uuid, id uuid, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Reports of providers about recipients that do not exist. No repair: reports are never deleted. */
    SELECT
        event.organization_id, event.recipient_id,
        jsonb_build_object('event_key', event.event_key, 'status', event.status, 'created_at', event.created_at)
    FROM public.delivery_status AS event
    WHERE
        event.created_at >= p_since
        AND NOT EXISTS (
            SELECT FROM public.communication_recipients AS recipient
            WHERE
                recipient.organization_id = event.organization_id AND recipient.id = event.recipient_id
                AND recipient.communication_created_at = event.communication_created_at
        )
    LIMIT 100000
$sql$;

COMMENT ON FUNCTION internal.integrity_orphan_events(timestamptz) IS
'Integrity: reports about recipients that do not exist.';
REVOKE ALL ON FUNCTION internal.integrity_orphan_events(timestamptz) FROM PUBLIC;
