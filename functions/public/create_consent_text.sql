CREATE OR REPLACE FUNCTION public.create_consent_text(p_organization_id uuid, p_version text, p_body text)
RETURNS public.consent_texts
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Make known the exact words that people will consent to, under a version of the caller's choice, and return them
   with their checksum. The same words again return the same row.
   Raises GC300 for NULL, GC404 for an unreadable version or text, or if the version has other words already. */
DECLARE
    v_text public.consent_texts;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    PERFORM internal.require_given(jsonb_build_object('p_version', p_version, 'p_body', p_body));
    PERFORM internal.require_text('p_version', p_version, 100, 'GC404');
    PERFORM internal.require_text('p_body', p_body, 100000, 'GC404');
    INSERT INTO public.consent_texts (organization_id, version, body, sha256)
    VALUES (p_organization_id, p_version, p_body, sha256(convert_to(p_body, 'UTF8')))
    ON CONFLICT DO NOTHING;
    SELECT known.* INTO STRICT v_text
    FROM public.consent_texts AS known
    WHERE known.organization_id = p_organization_id AND known.version = p_version;
    IF v_text.body <> p_body THEN
        RAISE EXCEPTION 'version "%" has other words', p_version
        USING ERRCODE = 'GC404', HINT = 'Words that people consented to never change: give new ones a new version.';
    END IF;
    RETURN v_text;
END
$plpgsql$;

COMMENT ON FUNCTION public.create_consent_text(uuid, text, text) IS
'Make known the exact words that people will consent to, under a version.';
REVOKE ALL ON FUNCTION public.create_consent_text(uuid, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.create_consent_text(uuid, text, text) TO comms_app;
