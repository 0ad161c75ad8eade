CREATE OR REPLACE FUNCTION internal.published_template(p_organization_id uuid, p_template_id uuid, p_channel text)
RETURNS public.message_template_versions
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The published version of a template for a channel; raises GC344 if there is none that may be used. */
DECLARE
    v_template public.message_templates;
    v_version public.message_template_versions;
BEGIN
    SELECT template.* INTO v_template
    FROM public.message_templates AS template
    WHERE template.organization_id = p_organization_id AND template.template_id = p_template_id;
    IF v_template.template_id IS NULL THEN
        RAISE EXCEPTION 'there is no template %', p_template_id
        USING ERRCODE = 'GC344', HINT = 'Make it with create_template() and publish it.';
    ELSIF v_template.archived_at IS NOT NULL THEN
        RAISE EXCEPTION 'template "%" was archived at %', v_template.name, v_template.archived_at
        USING ERRCODE = 'GC344', HINT = 'Take another template.';
    ELSIF v_template.channel <> p_channel THEN
        RAISE EXCEPTION 'template "%" is for %, not for %', v_template.name, v_template.channel, p_channel
        USING ERRCODE = 'GC344', HINT = 'Take a template of the same channel.';
    ELSIF v_template.published_version IS NULL THEN
        RAISE EXCEPTION 'template "%" has no published version', v_template.name
        USING ERRCODE = 'GC344', HINT = 'Publish one with publish_template().';
    END IF;
    SELECT version.* INTO STRICT v_version
    FROM public.message_template_versions AS version
    WHERE
        version.organization_id = p_organization_id AND version.template_id = p_template_id
        AND version.version = v_template.published_version;
    RETURN v_version;
END
$plpgsql$;

COMMENT ON FUNCTION internal.published_template(uuid, uuid, text) IS
'The published version of a template, refused (GC344) if there is none for the channel.';
REVOKE ALL ON FUNCTION internal.published_template(uuid, uuid, text) FROM PUBLIC;
