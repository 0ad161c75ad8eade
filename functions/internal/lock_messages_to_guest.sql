CREATE OR REPLACE FUNCTION internal.lock_messages_to_guest(p_organization_id uuid, p_guest_id uuid) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Lock all messages to a guest, in the order of their keys. Before the guest: a worker that has a message in hand and
   changes it twice asks for the guest then, by the foreign key. */
DECLARE
    v_hashes constant bytea[] := ARRAY(
        SELECT mine.address_hash FROM internal.addresses_of_guest(p_organization_id, p_guest_id) AS mine
    );
BEGIN
    PERFORM
    FROM public.communication_recipients AS recipient
    WHERE
        recipient.organization_id = p_organization_id
        AND (recipient.id, recipient.communication_created_at) IN (
            SELECT named.id, named.communication_created_at
            FROM public.communication_recipients AS named
            WHERE named.organization_id = p_organization_id AND named.guest_id = p_guest_id
            UNION ALL
            SELECT unnamed.id, unnamed.communication_created_at
            FROM public.communication_recipients AS unnamed
            WHERE
                unnamed.organization_id = p_organization_id AND unnamed.guest_id IS NULL
                AND unnamed.address_hash = ANY (v_hashes)
        )
    ORDER BY recipient.id
    FOR UPDATE OF recipient;
END
$plpgsql$;

COMMENT ON FUNCTION internal.lock_messages_to_guest(uuid, uuid) IS
'Lock all messages to a guest, in the order of their keys.';
REVOKE ALL ON FUNCTION internal.lock_messages_to_guest(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.lock_messages_to_guest(uuid, uuid) TO comms_maintenance;
