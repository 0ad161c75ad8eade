CREATE OR REPLACE FUNCTION public.archive_template(p_organization_id uuid, p_template_id uuid) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* No new message uses the template from now on; those that were made from it go on. Returns since
   when it is archived, the same again for a repeated call.
   Raises GC300 for NULL, GC326 for an unknown template. */
DECLARE
    v_template public.message_templates;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    v_template := internal.lock_template(p_organization_id, p_template_id);
    IF v_template.archived_at IS NULL THEN
        UPDATE public.message_templates AS template SET archived_at = now()
        WHERE template.organization_id = p_organization_id AND template.template_id = p_template_id
        RETURNING template.archived_at INTO v_template.archived_at;
    END IF;
    RETURN v_template.archived_at;
END
$plpgsql$;

COMMENT ON FUNCTION public.archive_template(uuid, uuid) IS 'Let no new message use a template.';
REVOKE ALL ON FUNCTION public.archive_template(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.archive_template(uuid, uuid) TO comms_app;
