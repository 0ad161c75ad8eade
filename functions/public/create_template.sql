CREATE OR REPLACE FUNCTION public.create_template(
    p_organization_id uuid, p_name text, p_channel text, p_subject text, p_body text, p_body_text text DEFAULT NULL
) RETURNS TABLE (template_id uuid, version integer)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Write a draft: version 1 under a new name, else the next version. With the texts of the newest
   version it makes none and returns that one, so a call may be repeated. publish_template() checks the
   texts' tags; messages can use a version from then on.
   Raises GC300 for NULL, GC323 for a name that is empty, too long or not one line, GC321 and GC322 for
   texts and channel, GC324 if the name is of another channel, GC325 if it is archived. */
DECLARE
    v_template public.message_templates;
    v_newest public.message_template_versions;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    IF p_name IS NULL THEN
        RAISE EXCEPTION 'p_name is NULL' USING ERRCODE = 'GC300', HINT = 'Name the template.';
    ELSIF length(p_name) NOT BETWEEN 1 AND 200 OR p_name ~ '[\x01-\x1f\x7f-\x9f]' OR p_name <> btrim(p_name) THEN
        RAISE EXCEPTION '"%" is no name for a template', left(p_name, 250)
        USING ERRCODE = 'GC323', HINT = 'A name has 1 to 200 characters, on one line, and no blanks around it.';
    END IF;
    PERFORM internal.check_message_texts(p_channel, p_subject, p_body, p_body_text);
    INSERT INTO public.message_templates (organization_id, name, channel)
    VALUES (p_organization_id, p_name, p_channel)
    ON CONFLICT (organization_id, name) DO NOTHING;
    SELECT named.* INTO STRICT v_template
    FROM public.message_templates AS named
    WHERE named.organization_id = p_organization_id AND named.name = p_name
    FOR NO KEY UPDATE;
    IF v_template.channel <> p_channel THEN
        RAISE EXCEPTION 'template "%" is for %', p_name, v_template.channel
        USING ERRCODE = 'GC324', HINT = format('Take another name for %s.', p_channel);
    ELSIF v_template.archived_at IS NOT NULL THEN
        RAISE EXCEPTION 'template "%" is archived', p_name
        USING ERRCODE = 'GC325', HINT = 'Take another name.';
    END IF;
    SELECT newest.* INTO v_newest
    FROM public.message_template_versions AS newest
    WHERE newest.organization_id = p_organization_id AND newest.template_id = v_template.template_id
    ORDER BY newest.version DESC LIMIT 1;
    IF (v_newest.subject, v_newest.body, v_newest.body_text) IS DISTINCT FROM (p_subject, p_body, p_body_text) THEN
        v_newest.version := coalesce(v_newest.version, 0) + 1;
        INSERT INTO public.message_template_versions (
            organization_id, template_id, version, subject, body, body_text
        )
        VALUES (p_organization_id, v_template.template_id, v_newest.version, p_subject, p_body, p_body_text);
    END IF;
    RETURN QUERY SELECT v_template.template_id, v_newest.version;
END
$plpgsql$;

COMMENT ON FUNCTION public.create_template(uuid, text, text, text, text, text) IS
'Write a draft of a template: the first version of a new name, or the next one.';
REVOKE ALL ON FUNCTION public.create_template(uuid, text, text, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.create_template(uuid, text, text, text, text, text) TO comms_app;
