CREATE OR REPLACE FUNCTION internal.keep_published_version() RETURNS trigger
LANGUAGE plpgsql
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Trigger: messages pin published versions, so nobody changes or deletes one, not even its owner.
   Raises GC328. */
BEGIN
    IF TG_OP = 'TRUNCATE' OR OLD.published_at IS NOT NULL THEN
        RAISE EXCEPTION '% of a published version of a template', TG_OP
        USING ERRCODE = 'GC328', HINT = 'Write another version with create_template() and publish that.';
    END IF;
    RETURN CASE TG_OP WHEN 'DELETE' THEN OLD ELSE NEW END;
END
$plpgsql$;

COMMENT ON FUNCTION internal.keep_published_version() IS
'Trigger: refuses (GC328) to change or delete a published version of a template.';
REVOKE ALL ON FUNCTION internal.keep_published_version() FROM PUBLIC;

CREATE OR REPLACE TRIGGER keep_published_version
BEFORE UPDATE OR DELETE ON public.message_template_versions
FOR EACH ROW EXECUTE FUNCTION internal.keep_published_version();
CREATE OR REPLACE TRIGGER keep_published_versions
BEFORE TRUNCATE ON public.message_template_versions
FOR EACH STATEMENT EXECUTE FUNCTION internal.keep_published_version();
