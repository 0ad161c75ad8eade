CREATE OR REPLACE FUNCTION internal.refuse_change() RETURNS trigger
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Trigger of tables that are only ever added to: raises GC450 for everybody, their owner included. */
BEGIN
    RAISE EXCEPTION '% of % is not allowed: rows are only ever added to it', TG_OP, TG_TABLE_NAME
    USING ERRCODE = 'GC450', HINT = 'Write what is true now as another row; old partitions end by retention.';
END
$plpgsql$;

COMMENT ON FUNCTION internal.refuse_change() IS 'Trigger: refuses (GC450) to change or remove rows.';
REVOKE ALL ON FUNCTION internal.refuse_change() FROM PUBLIC;

-- Partitions have this one of their parent.
CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE ON public.communication_security_audit
FOR EACH ROW EXECUTE FUNCTION internal.refuse_change();

-- But not this one, which is there once a statement: guard_audit_partitions() gives it to each.
CREATE OR REPLACE TRIGGER refuse_truncate
BEFORE TRUNCATE ON public.communication_security_audit
FOR EACH STATEMENT EXECUTE FUNCTION internal.refuse_change();

CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.communication_gdpr_consent_events
FOR EACH STATEMENT EXECUTE FUNCTION internal.refuse_change();
CREATE OR REPLACE TRIGGER refuse_change
BEFORE UPDATE OR DELETE OR TRUNCATE ON public.consent_texts
FOR EACH STATEMENT EXECUTE FUNCTION internal.refuse_change();
