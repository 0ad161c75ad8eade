SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION internal.match_delivery_events(
    p_organization_id uuid DEFAULT NULL, p_recipient_ids uuid[] DEFAULT NULL, p_max integer DEFAULT 1000
) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Apply kept events whose message has become known, at most p_max (up to 1000): of an organization, or of all; of these
   recipients, whom the caller has locked, or of all. Returns how many it applied; leaves to others what they work on. */
DECLARE
    v_organization_id uuid;
    v_events jsonb;
    v_matched bigint := 0;
BEGIN
    FOR v_organization_id, v_events IN
        WITH known AS MATERIALIZED (
            SELECT kept.unmatched_id
            FROM internal.unmatched_delivery_events AS kept
            LEFT JOIN internal.provider_messages AS message
                ON kept.recipient_id IS NULL AND message.organization_id = kept.claimed_organization
                    AND message.provider = kept.provider AND message.provider_message_id = kept.provider_message_id
            JOIN public.communication_recipients AS recipient
                ON recipient.organization_id = kept.claimed_organization
                    AND recipient.id = coalesce(kept.recipient_id, message.recipient_id)
                    AND recipient.communication_created_at
                    = internal.uuid_v7_time(coalesce(kept.recipient_id, message.recipient_id))
            WHERE (p_organization_id IS NULL OR kept.claimed_organization = p_organization_id)
                AND (p_recipient_ids IS NULL OR recipient.id = ANY (p_recipient_ids))
            ORDER BY kept.unmatched_id
            LIMIT least(p_max, 1000)
            FOR UPDATE OF kept SKIP LOCKED
        ), taken AS (
            DELETE FROM internal.unmatched_delivery_events AS kept
            USING known
            WHERE kept.unmatched_id = known.unmatched_id
            RETURNING kept.*
        )
        SELECT taken.claimed_organization, jsonb_agg(to_jsonb(taken))
        FROM taken
        GROUP BY taken.claimed_organization
        ORDER BY taken.claimed_organization
    LOOP
        SELECT v_matched + applied.accepted INTO v_matched
        FROM internal.apply_delivery_events(v_organization_id, v_events) AS applied;
    END LOOP;
    RETURN v_matched;
END
$plpgsql$;

COMMENT ON FUNCTION internal.match_delivery_events(uuid, uuid[], integer) IS
'Apply kept events whose message has become known; returns how many.';
REVOKE ALL ON FUNCTION internal.match_delivery_events(uuid, uuid[], integer) FROM PUBLIC;
