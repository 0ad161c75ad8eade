CREATE OR REPLACE FUNCTION public.set_processing_record(
    p_organization_id uuid, p_activity text, p_purposes text, p_lawful_basis text, p_subject_categories text[],
    p_data_categories text[], p_recipient_categories text[], p_security_measures text, p_contact text,
    p_transfers text DEFAULT NULL, p_retention_rules text[] DEFAULT '{}'
) RETURNS public.processing_records
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Write or rewrite the record of a processing activity (GDPR Art 30); returns it. p_retention_rules name rules of
   communication_data_retention, which say when the data end.
   Raises GC300 for NULL, GC428 for texts that are unreadable, a list that is empty or an unknown basis or rule. */
DECLARE
    v_record public.processing_records;
    v_unknown text;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    PERFORM internal.require_given(jsonb_build_object(
        'p_activity', p_activity, 'p_purposes', p_purposes, 'p_lawful_basis', p_lawful_basis,
        'p_subject_categories', p_subject_categories, 'p_data_categories', p_data_categories,
        'p_recipient_categories', p_recipient_categories, 'p_security_measures', p_security_measures,
        'p_contact', p_contact, 'p_retention_rules', p_retention_rules
    ));
    PERFORM internal.require_text(given.name, given.value, given.longest, 'GC428')
    FROM (
        VALUES
        ('p_activity', p_activity, 200), ('p_purposes', p_purposes, 2000), ('p_contact', p_contact, 500),
        ('p_security_measures', p_security_measures, 2000), ('p_transfers', p_transfers, 2000)
    ) AS given (name, value, longest);
    PERFORM internal.require_text('a category', coalesce(category.name, ''), 200, 'GC428')
    FROM unnest(p_subject_categories || p_data_categories || p_recipient_categories) AS category (name);
    SELECT min(wanted.rule) INTO v_unknown
    FROM unnest(p_retention_rules) AS wanted (rule)
    WHERE NOT EXISTS (SELECT FROM public.communication_data_retention AS known WHERE known.rule = wanted.rule);
    IF
        v_unknown IS NOT NULL OR 0 IN (cardinality(p_subject_categories), cardinality(p_data_categories))
        OR p_lawful_basis NOT IN ('consent', 'contract', 'legitimate_interest', 'legal_obligation')
    THEN
        RAISE EXCEPTION 'the record of "%" is incomplete or names what does not exist', p_activity
        USING ERRCODE = 'GC428',
            HINT = 'Name subjects and data, one of consent, contract, legitimate_interest, legal_obligation, and '
            'rules of communication_data_retention.';
    END IF;
    INSERT INTO public.processing_records AS known (
        organization_id, activity, purposes, lawful_basis, subject_categories, data_categories, recipient_categories,
        transfers, retention_rules, security_measures, contact
    )
    VALUES (
        p_organization_id, p_activity, p_purposes, p_lawful_basis, p_subject_categories, p_data_categories,
        p_recipient_categories, p_transfers, p_retention_rules, p_security_measures, p_contact
    )
    ON CONFLICT (organization_id, activity) DO UPDATE
    SET
        purposes = excluded.purposes, lawful_basis = excluded.lawful_basis,
        subject_categories = excluded.subject_categories, data_categories = excluded.data_categories,
        recipient_categories = excluded.recipient_categories, transfers = excluded.transfers,
        retention_rules = excluded.retention_rules, security_measures = excluded.security_measures,
        contact = excluded.contact, updated_at = clock_timestamp(), updated_by = SESSION_USER
    RETURNING known.* INTO v_record;
    RETURN v_record;
END
$plpgsql$;

COMMENT ON FUNCTION public.set_processing_record(
    uuid, text, text, text, text[], text[], text[], text, text, text, text[]
) IS 'Write or rewrite the record of a processing activity (GDPR Art 30).';
REVOKE ALL ON FUNCTION public.set_processing_record(
    uuid, text, text, text, text[], text[], text[], text, text, text, text[]
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.set_processing_record(
    uuid, text, text, text, text[], text[], text[], text, text, text, text[]
) TO comms_app;
