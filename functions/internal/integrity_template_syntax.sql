SET LOCAL ROLE comms_maintenance; -- it looks at every tenant
CREATE OR REPLACE FUNCTION internal.integrity_template_syntax(p_since timestamptz)
RETURNS TABLE (organization_id uuid, id uuid, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Templates whose published version does not compile any more, or to something else than what is stored; p_since does
       not matter: there are few. No repair: a published version never changes; publish another one. */
    SELECT
        template.organization_id, template.template_id,
        jsonb_build_object('version', version.version, 'problem', problem.text)
    FROM public.message_templates AS template
    JOIN public.message_template_versions AS version
        ON version.organization_id = template.organization_id AND version.template_id = template.template_id
        AND version.version = template.published_version
    CROSS JOIN LATERAL internal.template_problem(
        template.channel, version.subject, version.body, version.body_text, version.compiled
    ) AS problem (text)
    WHERE template.archived_at IS NULL AND problem.text IS NOT NULL
    LIMIT 100000
$sql$;

COMMENT ON FUNCTION internal.integrity_template_syntax(timestamptz) IS
'Integrity: published templates that do not compile to what is stored.';
REVOKE ALL ON FUNCTION internal.integrity_template_syntax(timestamptz) FROM PUBLIC;
