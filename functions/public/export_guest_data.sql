CREATE OR REPLACE FUNCTION public.export_guest_data(p_organization_id uuid, p_guest_id uuid) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Everything that is known of a guest, as JSON (GDPR Art 15 and 20): what was given, wishes, consent with its words
   and its proof, suppressions, every message with its variables and reports, and requests.
   Raises GC300 for NULL, GC410 for an unknown guest. */
DECLARE
    v_guest public.guests;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    v_guest := internal.require_guest(p_organization_id, p_guest_id);
    PERFORM internal.record_security_event(
        p_organization_id, 'guest_exported', p_details => jsonb_build_object('guest_id', p_guest_id)
    );
    RETURN (
        WITH addresses (channel, address_hash) AS (
            VALUES ('email', v_guest.email_hash), ('sms', v_guest.phone_hash), ('push', v_guest.push_hash)
        )
        SELECT jsonb_build_object(
            'format', 'guestcomms-guest-data/1',
            'exported_at', clock_timestamp(),
            'guest', to_jsonb(v_guest) - ARRAY['email_hash', 'phone_hash', 'push_hash', 'name_search', 'email_search'],
            'preferences', (
                SELECT coalesce(jsonb_agg(to_jsonb(wishes) ORDER BY wishes.channel), '[]')
                FROM public.communication_preferences AS wishes
                WHERE wishes.organization_id = p_organization_id AND wishes.guest_id = p_guest_id
            ),
            'consent', (
                SELECT coalesce(jsonb_agg(
                    to_jsonb(proof) - 'address_hash' || jsonb_build_object('consent_text', words.body)
                    ORDER BY proof.event_id
                ), '[]')
                FROM addresses
                JOIN public.communication_gdpr_consent_events AS proof
                    ON proof.organization_id = p_organization_id AND addresses.address_hash = proof.address_hash
                        AND addresses.channel = proof.channel
                LEFT JOIN public.consent_texts AS words
                    ON proof.organization_id = words.organization_id AND proof.consent_version = words.version
            ),
            'suppressions', (
                SELECT coalesce(jsonb_agg(to_jsonb(bar) - 'address_hash' ORDER BY bar.channel), '[]')
                FROM addresses
                JOIN public.suppressions AS bar
                    ON bar.organization_id = p_organization_id AND addresses.address_hash = bar.address_hash
                        AND addresses.channel = bar.channel
            ),
            'messages', (
                SELECT coalesce(jsonb_agg(
                    jsonb_strip_nulls(
                        to_jsonb(recipient)
                        - ARRAY['address_hash', 'recipient_key', 'personalisation', 'personalisation_key_version']
                    ) || jsonb_build_object(
                        'title', message.message_title, 'subject', message.subject, 'body', message.body,
                        'purpose', message.purpose, 'reports', reports.list,
                        'variables', CASE WHEN recipient.personalisation IS NOT NULL THEN convert_from(
                            internal.aes256_gcm_decrypt(
                                internal.field_key_of(p_organization_id, recipient.personalisation_key_version),
                                recipient.personalisation,
                                internal.field_context(
                                    p_organization_id, 'communication_recipients.personalisation', recipient.id,
                                    recipient.personalisation_key_version
                                )
                            ), 'UTF8'
                        )::jsonb END
                    )
                    ORDER BY recipient.id
                ), '[]')
                FROM public.communication_recipients AS recipient
                JOIN public.guest_communications AS message
                    ON recipient.organization_id = message.organization_id
                        AND recipient.communication_id = message.id
                        AND recipient.communication_created_at = message.created_at
                CROSS JOIN LATERAL (
                    SELECT
                        jsonb_agg(
                            jsonb_build_object('status', report.status, 'occurred_at', report.occurred_at)
                            ORDER BY report.occurred_at
                        ) AS list
                    FROM public.delivery_status AS report
                    WHERE report.organization_id = p_organization_id AND report.recipient_id = recipient.id
                ) AS reports
                WHERE recipient.organization_id = p_organization_id AND recipient.guest_id = p_guest_id
            ),
            'requests', (
                SELECT coalesce(jsonb_agg(to_jsonb(request) ORDER BY request.request_id), '[]')
                FROM public.data_subject_requests AS request
                WHERE request.organization_id = p_organization_id AND request.guest_id = p_guest_id
            )
        )
    );
END
$plpgsql$;

COMMENT ON FUNCTION public.export_guest_data(uuid, uuid) IS
'Everything that is known of a guest, as JSON (GDPR Art 15 and 20).';
REVOKE ALL ON FUNCTION public.export_guest_data(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.export_guest_data(uuid, uuid) TO comms_app;
