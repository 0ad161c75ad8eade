CREATE OR REPLACE FUNCTION internal.guard_audit_partitions() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Let no partition of the audit be emptied: PostgreSQL copies triggers for rows to partitions, not the one for
   TRUNCATE. Leaves those alone that have it. */
DECLARE
    v_partition regclass;
BEGIN
    FOR v_partition IN
        SELECT tree.relid FROM pg_partition_tree('public.communication_security_audit') AS tree
        WHERE
            tree.isleaf AND NOT EXISTS (
                SELECT FROM pg_trigger AS existing
                WHERE existing.tgrelid = tree.relid AND existing.tgname = 'refuse_truncate'
            )
        ORDER BY tree.relid
    LOOP
        EXECUTE format(
            'CREATE TRIGGER refuse_truncate BEFORE TRUNCATE ON %s'
            ' FOR EACH STATEMENT EXECUTE FUNCTION internal.refuse_change()', v_partition
        );
    END LOOP;
END
$plpgsql$;

COMMENT ON FUNCTION internal.guard_audit_partitions() IS 'Let no partition of the audit be emptied.';
REVOKE ALL ON FUNCTION internal.guard_audit_partitions() FROM PUBLIC;

SELECT internal.guard_audit_partitions();
