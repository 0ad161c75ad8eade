CREATE OR REPLACE FUNCTION internal.erase_person(
    p_organization_id uuid, p_guest_id uuid,
    OUT messages_suppressed bigint, OUT messages_anonymised bigint, OUT consents_ended bigint
) RETURNS record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What erase_guest() does to a guest, after it has asked whether that is allowed; also done again to a database that
   was restored to before it. The caller has locked the messages and the guest. Returns what erase_guest() does. */
DECLARE
    v_channels text[];
    v_hashes bytea[];
BEGIN
    SELECT
        array_agg(mine.channel ORDER BY mine.channel, mine.address_hash),
        array_agg(mine.address_hash ORDER BY mine.channel, mine.address_hash)
    INTO v_channels, v_hashes
    FROM internal.addresses_of_guest(p_organization_id, p_guest_id) AS mine;

    WITH locked AS MATERIALIZED (
        SELECT recipient.id, recipient.communication_created_at, recipient.status
        FROM public.communication_recipients AS recipient
        JOIN (
            SELECT named.id, named.communication_created_at
            FROM public.communication_recipients AS named
            WHERE named.organization_id = p_organization_id AND named.guest_id = p_guest_id
            UNION ALL
            SELECT unnamed.id, unnamed.communication_created_at
            FROM public.communication_recipients AS unnamed
            WHERE
                unnamed.organization_id = p_organization_id AND unnamed.guest_id IS NULL
                AND unnamed.address_hash = ANY (v_hashes)
        ) AS mine ON recipient.id = mine.id AND recipient.communication_created_at = mine.communication_created_at
        WHERE
            recipient.organization_id = p_organization_id
            AND (recipient.status = 'queued' OR internal.is_personal(recipient))
        ORDER BY recipient.id
        FOR UPDATE OF recipient
    ),
    erased AS (
        UPDATE public.communication_recipients AS recipient
        SET
            status = CASE recipient.status WHEN 'queued' THEN 'suppressed' ELSE recipient.status END,
            suppression_reason
            = CASE recipient.status WHEN 'queued' THEN 'guest_erased' ELSE recipient.suppression_reason END,
            suppressed_at
            = CASE recipient.status WHEN 'queued' THEN clock_timestamp() ELSE recipient.suppressed_at END,
            recipient_key = gen_random_uuid(), recipient_name = NULL, recipient_email = NULL, recipient_phone = NULL,
            recipient_device = NULL, address_hash = NULL, personalisation = NULL, personalisation_key_version = NULL,
            error_message = NULL
        FROM locked
        WHERE
            recipient.organization_id = p_organization_id AND recipient.id = locked.id
            AND recipient.communication_created_at = locked.communication_created_at
        RETURNING recipient.communication_id, recipient.id, locked.status AS earlier_status
    ),
    counted AS (
        INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
        SELECT p_organization_id, erased.communication_id, change.status, change.sign * count(*)
        FROM erased CROSS JOIN (VALUES ('queued', -1), ('suppressed', 1)) AS change (status, sign)
        WHERE erased.earlier_status = 'queued'
        GROUP BY erased.communication_id, change.status, change.sign
    ),
    reported AS (
        UPDATE public.delivery_status AS report
        SET error_message = NULL
        FROM erased
        WHERE
            report.organization_id = p_organization_id AND report.recipient_id = erased.id
            AND report.error_message IS NOT NULL
    )
    SELECT count(*) FILTER (WHERE erased.earlier_status = 'queued'), count(*)
    INTO messages_suppressed, messages_anonymised
    FROM erased;

    SELECT coalesce(sum(
        internal.end_consent(
            p_organization_id, mine.channel, mine.address_hash, NULL, '{"method": "request", "source": "erase_guest"}'
        )
    ), 0)
    INTO consents_ended
    FROM unnest(v_channels, v_hashes) AS mine (channel, address_hash);
    UPDATE public.communication_gdpr_consent AS consent
    SET guest_email = NULL, guest_id = NULL
    WHERE
        consent.organization_id = p_organization_id AND consent.address_hash = ANY (v_hashes)
        AND num_nonnulls(consent.guest_email, consent.guest_id) > 0;
    INSERT INTO public.suppressions AS known (organization_id, channel, address_hash, reason)
    SELECT p_organization_id, mine.channel, mine.address_hash, 'erased'
    FROM unnest(v_channels, v_hashes) AS mine (channel, address_hash)
    ORDER BY mine.channel, mine.address_hash
    ON CONFLICT (organization_id, channel, address_hash) DO UPDATE
    SET scope = 'all', expires_at = NULL
    WHERE known.scope <> 'all' OR known.expires_at IS NOT NULL;

    DELETE FROM public.communication_preferences AS wishes
    WHERE wishes.organization_id = p_organization_id AND wishes.guest_id = p_guest_id;
    UPDATE public.guests AS guest
    SET
        external_id = NULL, name = NULL, email = NULL, phone = NULL, push_token = NULL, email_hash = NULL,
        phone_hash = NULL, push_hash = NULL, language = NULL, time_zone = NULL, updated_at = clock_timestamp(),
        erased_at = clock_timestamp()
    WHERE
        guest.organization_id = p_organization_id AND guest.guest_id = p_guest_id AND guest.erased_at IS NULL;
    PERFORM internal.record_security_event(
        p_organization_id, 'guest_erased', p_details => jsonb_build_object('guest_id', p_guest_id)
    );
END
$plpgsql$;

COMMENT ON FUNCTION internal.erase_person(uuid, uuid) IS
'What erase_guest() does to a guest once it is allowed.';
REVOKE ALL ON FUNCTION internal.erase_person(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.erase_person(uuid, uuid) TO comms_maintenance;
