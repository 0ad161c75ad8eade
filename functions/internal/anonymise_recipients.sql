CREATE OR REPLACE FUNCTION internal.anonymise_recipients(
    p_before timestamptz, p_dry_run boolean, OUT affected bigint, OUT kept bigint, OUT detail text
) RETURNS record
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Retention: take everything personal, and the link to the guest, out of recipients of communications that are
       over since before a moment; out of those of erased guests whenever they are found, because a message can be
       queued beside an erasure. What is not sent yet and what a legal hold keeps stays. */
    WITH old AS (
        SELECT
            recipient.organization_id, recipient.id, recipient.communication_created_at,
            recipient.status IN ('queued', 'sending') AS is_unsent,
            EXISTS (
                SELECT FROM public.legal_holds AS hold
                WHERE
                    hold.organization_id = recipient.organization_id AND hold.lifted_at IS NULL
                    AND (hold.guest_id IS NULL OR hold.guest_id = recipient.guest_id)
                    AND (hold.communication_id IS NULL OR hold.communication_id = recipient.communication_id)
            ) AS is_held
        FROM public.communication_recipients AS recipient
        JOIN public.guest_communications AS message
            ON recipient.organization_id = message.organization_id AND recipient.communication_id = message.id
                AND recipient.communication_created_at = message.created_at
        WHERE
            recipient.communication_created_at < p_before
            AND (internal.is_personal(recipient) OR recipient.guest_id IS NOT NULL)
            AND coalesce(
                greatest(message.scheduled_for, message.completed_at, message.cancelled_at), message.created_at
            ) < p_before
        UNION
        SELECT recipient.organization_id, recipient.id, recipient.communication_created_at, false, false
        FROM public.guests AS guest
        JOIN public.communication_recipients AS recipient
            ON guest.organization_id = recipient.organization_id AND guest.guest_id = recipient.guest_id
        WHERE
            guest.erased_at > now() - interval '60 days' AND internal.is_personal(recipient)
            AND recipient.status NOT IN ('queued', 'sending')
    ),
    locked AS MATERIALIZED (
        SELECT recipient.organization_id, recipient.id, recipient.communication_created_at
        FROM old
        JOIN public.communication_recipients AS recipient
            ON old.organization_id = recipient.organization_id AND old.id = recipient.id
                AND old.communication_created_at = recipient.communication_created_at
        WHERE NOT p_dry_run AND NOT old.is_unsent AND NOT old.is_held AND recipient.status NOT IN ('queued', 'sending')
        ORDER BY recipient.organization_id, recipient.id
        FOR UPDATE OF recipient
    ),
    anonymised AS (
        UPDATE public.communication_recipients AS recipient
        SET
            guest_id = NULL, recipient_key = gen_random_uuid(), recipient_name = NULL, recipient_email = NULL,
            recipient_phone = NULL, recipient_device = NULL, address_hash = NULL, personalisation = NULL,
            personalisation_key_version = NULL, error_message = NULL
        FROM locked
        WHERE
            recipient.organization_id = locked.organization_id AND recipient.id = locked.id
            AND recipient.communication_created_at = locked.communication_created_at
    )
    SELECT
        count(*) FILTER (WHERE NOT old.is_unsent AND NOT old.is_held),
        count(*) FILTER (WHERE old.is_unsent OR old.is_held),
        format(
            'kept: %s not sent yet, %s under a legal hold', count(*) FILTER (WHERE old.is_unsent),
            count(*) FILTER (WHERE old.is_held)
        )
    FROM old
$sql$;

COMMENT ON FUNCTION internal.anonymise_recipients(timestamptz, boolean) IS
'Retention: take everything personal out of recipients of communications that are over.';
REVOKE ALL ON FUNCTION internal.anonymise_recipients(timestamptz, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.anonymise_recipients(timestamptz, boolean) TO comms_maintenance;
