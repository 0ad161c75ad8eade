CREATE OR REPLACE FUNCTION public.publish_template(
    p_organization_id uuid, p_template_id uuid, p_version integer DEFAULT NULL
) RETURNS TABLE (template_id uuid, version integer, variables text[])
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Check and compile a version, the newest one by default, and let new messages use it. An older
   version that was published before can be put back in the same way. Returns the version and the
   variables that a message has to give.
   Raises GC300 for NULL, GC320 with part, line and column for what is wrong in a text, GC325 for an
   archived template, GC326 for an unknown template, GC327 for an unknown version. */
DECLARE
    v_template public.message_templates;
    v_version public.message_template_versions;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    v_template := internal.lock_template(p_organization_id, p_template_id);
    IF v_template.archived_at IS NOT NULL THEN
        RAISE EXCEPTION 'template "%" is archived', v_template.name
        USING ERRCODE = 'GC325', HINT = 'Write a new one under another name.';
    END IF;
    SELECT wanted.* INTO v_version
    FROM public.message_template_versions AS wanted
    WHERE
        wanted.organization_id = p_organization_id AND wanted.template_id = p_template_id
        AND wanted.version = coalesce(p_version, wanted.version)
    ORDER BY wanted.version DESC LIMIT 1;
    IF v_version.version IS NULL THEN
        RAISE EXCEPTION 'template "%" has no version %', v_template.name, p_version
        USING ERRCODE = 'GC327', HINT = 'Leave p_version out for the newest one.';
    END IF;
    IF v_version.published_at IS NULL THEN
        SELECT made.compiled, made.variables INTO v_version.compiled, v_version.variables
        FROM internal.compile_message(
            v_template.channel, v_version.subject, v_version.body, v_version.body_text
        ) AS made;
        UPDATE public.message_template_versions AS draft
        SET
            compiled = v_version.compiled, variables = v_version.variables,
            published_at = now(), published_by = SESSION_USER
        WHERE
            draft.organization_id = p_organization_id AND draft.template_id = p_template_id
            AND draft.version = v_version.version;
    END IF;
    UPDATE public.message_templates AS template
    SET published_version = v_version.version
    WHERE
        template.organization_id = p_organization_id AND template.template_id = p_template_id
        AND template.published_version IS DISTINCT FROM v_version.version;
    RETURN QUERY SELECT p_template_id, v_version.version, v_version.variables;
END
$plpgsql$;

COMMENT ON FUNCTION public.publish_template(uuid, uuid, integer) IS
'Check and compile a version of a template; new messages use it from now on.';
REVOKE ALL ON FUNCTION public.publish_template(uuid, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.publish_template(uuid, uuid, integer) TO comms_app;
