CREATE OR REPLACE FUNCTION internal.capped_messages(
    p_organization_id uuid, p_guest_id uuid, p_channel text, p_since timestamptz
) RETURNS bigint
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
-- A partition that was empty when it was last analysed would be read whole, once for every guest.
SET enable_seqscan = off
-- Whoever asks for many guests may forbid cached plans for himself.
SET plan_cache_mode = auto
AS $plpgsql$
/* How many messages were handed to a provider for a guest since a moment: for the frequency cap of contact_gates(). */
BEGIN
    RETURN (
        SELECT count(*) FROM public.communication_recipients AS earlier
        WHERE
            earlier.organization_id = p_organization_id AND earlier.guest_id = p_guest_id
            AND earlier.channel = p_channel AND earlier.sending_at > p_since
    );
END
$plpgsql$;

COMMENT ON FUNCTION internal.capped_messages(uuid, uuid, text, timestamptz) IS
'How many messages were handed to a provider for a guest since a moment.';
REVOKE ALL ON FUNCTION internal.capped_messages(uuid, uuid, text, timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.capped_messages(uuid, uuid, text, timestamptz) TO comms_maintenance;
