SET LOCAL ROLE comms_maintenance; -- it looks at every tenant
CREATE OR REPLACE FUNCTION internal.integrity_recipients_without_guest(p_since timestamptz)
RETURNS TABLE (organization_id uuid, id uuid, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Recipients that name a guest who does not exist. */
    SELECT recipient.organization_id, recipient.id, jsonb_build_object('guest_id', recipient.guest_id)
    FROM public.communication_recipients AS recipient
    WHERE
        recipient.communication_created_at >= p_since AND recipient.guest_id IS NOT NULL
        AND NOT EXISTS (
            SELECT FROM public.guests AS guest
            WHERE guest.organization_id = recipient.organization_id AND guest.guest_id = recipient.guest_id
        )
    LIMIT 100000
$sql$;

COMMENT ON FUNCTION internal.integrity_recipients_without_guest(timestamptz) IS
'Integrity: recipients that name a guest who does not exist.';
REVOKE ALL ON FUNCTION internal.integrity_recipients_without_guest(timestamptz) FROM PUBLIC;
