SET LOCAL ROLE comms_maintenance; -- it looks at every tenant, and shows counts only
CREATE OR REPLACE FUNCTION public.consent_gaps(p_interval interval DEFAULT '7 days')
RETURNS TABLE (
    organization_id uuid, communication_id uuid, message_title text, recipients bigint,
    without_consent bigint, after_withdrawal bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Messages of the last p_interval that rest on consent and lack it: how many recipients they were sent to, for how
   many no event proves that this address had consented to this purpose on this channel, and how many they were handed
   to a provider after the withdrawal. No rows: every message had its consent.
   Raises GC300 for NULL, GC421 for an interval that is negative or longer than ten years. */
BEGIN
    PERFORM internal.require_given(jsonb_build_object('p_interval', p_interval));
    IF NOT isfinite(p_interval) OR p_interval NOT BETWEEN interval '0' AND interval '10 years' THEN
        RAISE EXCEPTION '% is no interval to look back', p_interval
        USING ERRCODE = 'GC421', HINT = 'Give an interval such as 7 days, at most 10 years.';
    END IF;
    RETURN QUERY
    SELECT *
    FROM (
        SELECT
            message.organization_id, message.id, message.message_title, count(*) AS recipients,
            count(*) FILTER (WHERE proof.event_id IS NULL) AS without_consent,
            count(*) FILTER (WHERE withdrawn.is_withdrawn) AS after_withdrawal
        FROM public.guest_communications AS message
        JOIN public.communication_recipients AS recipient
            ON message.organization_id = recipient.organization_id AND message.id = recipient.communication_id
                AND message.created_at = recipient.communication_created_at
        LEFT JOIN public.communication_gdpr_consent_events AS proof
            ON recipient.organization_id = proof.organization_id AND recipient.consent_event_id = proof.event_id
                AND recipient.address_hash = proof.address_hash AND recipient.channel = proof.channel
                AND message.purpose = proof.purpose AND proof.event = 'given'
                AND recipient.sending_at >= proof.recorded_at
        LEFT JOIN LATERAL (
            SELECT true AS is_withdrawn
            FROM public.communication_gdpr_consent_events AS ended
            WHERE
                ended.organization_id = recipient.organization_id AND ended.address_hash = recipient.address_hash
                AND ended.channel = recipient.channel AND ended.purpose = message.purpose
                AND ended.event = 'withdrawn' AND ended.recorded_at < recipient.sending_at
                AND ended.recorded_at > proof.recorded_at
            LIMIT 1
        ) AS withdrawn ON true
        WHERE
            message.created_at > now() - p_interval AND message.lawful_basis = 'consent'
            AND recipient.lawful_basis = 'consent' AND recipient.sending_at IS NOT NULL
            -- Of who is anonymous nothing can be shown, for or against.
            AND recipient.address_hash IS NOT NULL
        GROUP BY message.organization_id, message.id, message.message_title
    ) AS counted
    WHERE counted.without_consent > 0 OR counted.after_withdrawal > 0
    ORDER BY 1, 2;
END
$plpgsql$;

COMMENT ON FUNCTION public.consent_gaps(interval) IS
'Messages that rest on consent and were sent without it or after its withdrawal, with counts.';
REVOKE ALL ON FUNCTION public.consent_gaps(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.consent_gaps(interval) TO comms_ops, comms_auditor;
