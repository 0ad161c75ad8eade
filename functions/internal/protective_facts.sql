SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION internal.protective_facts(p_since timestamptz) RETURNS TABLE (kind text, fact jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $sql$
    /* What a database that was restored to p_since or a later moment has to be told, so that nobody is written to twice
       or against their will; asked of the database that went on. A row for each fact, in the order in which
       apply_protective_facts() wants the kinds:
         organization: it is suspended or closed;          key: it is destroyed;
         suppression: an address that gets nothing more;   withdrawal: consent that ended, with its proof;
         preference: wishes of a guest;                    cancellation: a communication that is cancelled;
         communication: one made since, somebody of which was written to;
         message: a recipient who was handed to a worker since, whatever became of it;
         request: an idempotency key that made such a communication;
         erasure: a guest who was erased.
       Suppressions are all there are: one that is widened keeps its date. The others go by the moment at which they
       were written, which is earlier than their commit: take p_since earlier than the target by more than your longest
       transaction. */
    SELECT
        'organization',
        jsonb_build_object('organization_id', organization.organization_id, 'state', organization.state)
    FROM public.organizations AS organization
    WHERE organization.state <> 'active'
    UNION ALL
    SELECT 'key', to_jsonb(key)
    FROM public.communication_encryption_keys AS key
    WHERE key.key_type = 'data' AND key.state = 'destroyed'
    UNION ALL
    SELECT 'suppression', jsonb_strip_nulls(to_jsonb(suppression))
    FROM public.suppressions AS suppression
    WHERE suppression.expires_at IS NULL OR suppression.expires_at > statement_timestamp()
    UNION ALL
    SELECT 'withdrawal', jsonb_build_object('state', to_jsonb(consent), 'event', to_jsonb(proof))
    FROM public.communication_gdpr_consent AS consent
    JOIN public.communication_gdpr_consent_events AS proof
        ON proof.organization_id = consent.organization_id AND proof.event_id = consent.consent_event_id
    WHERE NOT consent.consent_given AND consent.updated_at >= p_since
    UNION ALL
    SELECT 'preference', jsonb_strip_nulls(to_jsonb(wish))
    FROM public.communication_preferences AS wish
    WHERE wish.updated_at >= p_since
    UNION ALL
    SELECT
        'cancellation',
        jsonb_build_object(
            'organization_id', message.organization_id, 'id', message.id, 'created_at', message.created_at,
            'cancelled_at', message.cancelled_at
        )
    FROM public.guest_communications AS message
    WHERE message.cancelled_at >= p_since
    UNION ALL
    SELECT 'communication', jsonb_strip_nulls(to_jsonb(message))
    FROM public.guest_communications AS message
    WHERE
        message.created_at >= p_since
        AND EXISTS (
            SELECT FROM public.communication_recipients AS recipient
            WHERE
                recipient.organization_id = message.organization_id AND recipient.communication_id = message.id
                AND recipient.communication_created_at = message.created_at
                AND internal.status_rank(recipient.status) >= internal.status_rank('sending')
        )
    UNION ALL
    SELECT
        'message', jsonb_strip_nulls(to_jsonb(recipient) - '{personalisation,personalisation_key_version}'::text[])
    FROM public.communication_recipients AS recipient
    WHERE
        internal.status_rank(recipient.status) >= internal.status_rank('sending')
        AND (
            greatest(
                recipient.sending_at, recipient.unknown_at, recipient.sent_at, recipient.deferred_at,
                recipient.delivered_at, recipient.opened_at, recipient.clicked_at, recipient.failed_at,
                recipient.bounced_at, recipient.unsubscribed_at, recipient.complained_at
            ) >= p_since
            -- The times above are the provider's for what it reported: that may be long ago.
            OR (recipient.organization_id, recipient.id) IN (
                SELECT report.organization_id, report.recipient_id
                FROM public.delivery_status AS report
                WHERE report.created_at >= p_since
            )
        )
    UNION ALL
    SELECT 'request', to_jsonb(request)
    FROM public.communication_idempotency AS request
    WHERE
        request.operation = 'create_communication' AND request.created_at >= p_since
        AND EXISTS (
            SELECT FROM public.communication_recipients AS recipient
            WHERE
                recipient.organization_id = request.organization_id
                AND recipient.communication_id = (request.response ->> 'communication_id')::uuid
                AND recipient.communication_created_at
                = internal.uuid_v7_time((request.response ->> 'communication_id')::uuid)
                AND internal.status_rank(recipient.status) >= internal.status_rank('sending')
        )
    UNION ALL
    SELECT 'erasure', jsonb_build_object('organization_id', guest.organization_id, 'guest_id', guest.guest_id)
    FROM public.guests AS guest
    WHERE guest.erased_at >= p_since
$sql$;

COMMENT ON FUNCTION internal.protective_facts(timestamptz) IS
'What a restored database has to be told, so that nobody is written to twice or against their will.';
REVOKE ALL ON FUNCTION internal.protective_facts(timestamptz) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.protective_facts(timestamptz) TO comms_agent;
