CREATE OR REPLACE FUNCTION internal.lock_template(p_organization_id uuid, p_template_id uuid)
RETURNS public.message_templates
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* A template, locked until the end of the transaction. Raises GC300 for NULL, GC326 if there is none. */
DECLARE
    v_template public.message_templates;
BEGIN
    IF p_template_id IS NULL THEN
        RAISE EXCEPTION 'p_template_id is NULL'
        USING ERRCODE = 'GC300', HINT = 'Give the template_id that create_template() returned.';
    END IF;
    SELECT found.* INTO v_template
    FROM public.message_templates AS found
    WHERE found.organization_id = p_organization_id AND found.template_id = p_template_id
    FOR NO KEY UPDATE;
    IF v_template.template_id IS NULL THEN
        RAISE EXCEPTION 'there is no template %', p_template_id
        USING ERRCODE = 'GC326', HINT = 'message_templates lists the templates of the organization.';
    END IF;
    RETURN v_template;
END
$plpgsql$;

COMMENT ON FUNCTION internal.lock_template(uuid, uuid) IS 'Lock a template of the organization and return it.';
REVOKE ALL ON FUNCTION internal.lock_template(uuid, uuid) FROM PUBLIC;
