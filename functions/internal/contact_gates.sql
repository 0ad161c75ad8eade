CREATE OR REPLACE FUNCTION internal.contact_gates(
    p_organization_id uuid, p_channel text, p_category text, p_purpose text, p_lawful_basis text,
    p_guest_ids uuid[], p_address_hashes bytea[]
) RETURNS TABLE (
    item bigint, suppression_reason text, consent_event_id uuid, time_zone text, quiet_from time, quiet_until time
)
LANGUAGE sql STABLE ROWS 1000
/* Who may be written to, in one place for enqueue and claim: a row for each pair of guest and address hash, with
   its number in the arrays. suppression_reason is NULL if nothing forbids the message; consent_event_id proves the
   consent where that is the basis. Quiet hours forbid nothing: time_zone and quiet hours are for next_allowed_at().
   Called in FROM with variables or columns it becomes a part of the calling statement, so that the planner joins
   100,000 pairs in another way than ten. A frequency cap is counted for those alone who have one. */
BEGIN ATOMIC
    SELECT
        asked.item,
        CASE
            WHEN p_channel <> 'in_app' AND asked.address_hash IS NULL THEN 'no_address'
            WHEN suppression.reason IS NOT NULL THEN 'suppressed:' || suppression.reason
            WHEN p_lawful_basis = 'consent' AND consent.consent_event_id IS NULL THEN 'no_consent'
            WHEN NOT wish.allowed THEN 'not_allowed'
            WHEN wish.max_messages IS NOT NULL AND wish.max_messages <= internal.capped_messages(
                p_organization_id, asked.guest_id, p_channel, now() - wish.per_interval
            ) THEN 'frequency_cap'
            WHEN guest.erased_at IS NOT NULL THEN 'guest_erased'
            WHEN coalesce(organization.state, '') <> 'active' THEN 'organization_inactive'
        END,
        consent.consent_event_id,
        coalesce(guest.time_zone, organization.time_zone),
        wish.quiet_from,
        wish.quiet_until
    FROM unnest(p_guest_ids, p_address_hashes) WITH ORDINALITY AS asked (guest_id, address_hash, item)
    LEFT JOIN public.organizations AS organization ON organization.organization_id = p_organization_id
    LEFT JOIN public.guests AS guest
        ON guest.organization_id = p_organization_id AND guest.guest_id = asked.guest_id
    LEFT JOIN public.suppressions AS suppression
        ON
            suppression.organization_id = p_organization_id AND suppression.channel = p_channel
            AND suppression.address_hash = asked.address_hash
            AND (suppression.scope = 'all' OR p_category = 'commercial')
            AND (suppression.expires_at IS NULL OR suppression.expires_at > now())
    LEFT JOIN public.communication_gdpr_consent AS consent
        ON
            p_lawful_basis = 'consent' AND consent.organization_id = p_organization_id
            AND consent.address_hash = asked.address_hash AND consent.channel = p_channel
            AND consent.purpose = p_purpose AND consent.consent_given
    LEFT JOIN public.communication_preferences AS wish
        ON wish.organization_id = p_organization_id AND wish.guest_id = asked.guest_id AND wish.channel = p_channel;
END;

COMMENT ON FUNCTION internal.contact_gates(uuid, text, text, text, text, uuid[], bytea[]) IS
'Who may be written to and, if not, why: consent, suppressions, preferences, caps; the same at enqueue and claim.';
REVOKE ALL ON FUNCTION internal.contact_gates(uuid, text, text, text, text, uuid[], bytea[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.contact_gates(uuid, text, text, text, text, uuid[], bytea[]) TO comms_maintenance;
