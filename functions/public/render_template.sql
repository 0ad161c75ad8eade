CREATE OR REPLACE FUNCTION public.render_template(
    p_organization_id uuid, p_template_id uuid, p_variables jsonb, p_version integer DEFAULT NULL,
    OUT subject text, OUT body text, OUT body_text text
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What a message from this template is with these values: of the published version, or of
   p_version, which may be a draft. Variables that it does not use are ignored; those that messages
   have by themselves (guest_name …) have to be given here if it uses them.
   Raises GC300 for NULL, GC326 for an unknown template, GC327 for a version that is unknown or, with
   no p_version, if none is published, GC320 for a draft that cannot be published, GC330 if
   p_variables is no object, GC331 naming every missing variable, GC332 to GC334 for a value that
   cannot be used. */
DECLARE
    v_channel text;
    v_version integer;
    v_compiled jsonb;
    v_texts text[];
    v_problem_code text;
    v_problem text;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    IF p_template_id IS NULL OR p_variables IS NULL THEN
        RAISE EXCEPTION 'p_% is NULL', CASE WHEN p_template_id IS NULL THEN 'template_id' ELSE 'variables' END
        USING ERRCODE = 'GC300', HINT = 'Variables are an object such as {"name": "Ann"}; {} has none.';
    ELSIF jsonb_typeof(p_variables) <> 'object' THEN
        RAISE EXCEPTION 'p_variables is of type %', jsonb_typeof(p_variables)
        USING ERRCODE = 'GC330', HINT = 'Give an object such as {"name": "Ann"}.';
    END IF;
    SELECT
        template.channel, wanted.version, wanted.compiled,
        ARRAY[wanted.subject, wanted.body, wanted.body_text]
    INTO v_channel, v_version, v_compiled, v_texts
    FROM public.message_templates AS template
    LEFT JOIN public.message_template_versions AS wanted
        ON
            template.organization_id = wanted.organization_id AND template.template_id = wanted.template_id
            AND wanted.version = coalesce(p_version, template.published_version)
    WHERE template.organization_id = p_organization_id AND template.template_id = p_template_id;
    IF v_channel IS NULL THEN
        RAISE EXCEPTION 'there is no template %', p_template_id
        USING ERRCODE = 'GC326', HINT = 'message_templates lists the templates of the organization.';
    ELSIF v_version IS NULL THEN
        RAISE EXCEPTION 'template % has no % version', p_template_id, coalesce(p_version::text, 'published')
        USING ERRCODE = 'GC327', HINT = 'publish_template() publishes; with p_version a draft can be seen.';
    END IF;
    IF v_compiled IS NULL THEN
        v_compiled := (
            SELECT made.compiled FROM internal.compile_message(v_channel, v_texts[1], v_texts[2], v_texts[3]) AS made
        );
    END IF;
    SELECT rendered.subject, rendered.body, rendered.body_text, rendered.problem_code, rendered.problem
    INTO subject, body, body_text, v_problem_code, v_problem
    FROM internal.render_message(v_channel, v_compiled, p_variables) AS rendered;
    IF v_problem IS NOT NULL THEN
        RAISE EXCEPTION '%', v_problem
        USING ERRCODE = v_problem_code,
            HINT = 'Values are strings, numbers or booleans; {{name|default}} stands in for a missing one.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION public.render_template(uuid, uuid, jsonb, integer) IS
'Subject, body and text of a message from a template with given values.';
REVOKE ALL ON FUNCTION public.render_template(uuid, uuid, jsonb, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.render_template(uuid, uuid, jsonb, integer) TO comms_app;
