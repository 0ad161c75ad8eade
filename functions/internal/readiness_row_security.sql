CREATE OR REPLACE FUNCTION internal.readiness_row_security(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Every table with organization_id has row security, also for its owner, and a policy; a partition, which is
   reached through its table, has no grant to anybody else instead. */
DECLARE
    v_open text;
BEGIN
    SELECT string_agg(relation.oid::regclass::text, ', ' ORDER BY relation.oid::regclass::text)
    INTO v_open
    FROM pg_class AS relation
    JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    WHERE
        namespace.nspname IN ('public', 'internal') AND relation.relkind IN ('r', 'p')
        AND NOT relation.relispartition -- its policies are its parent's, and nobody may read it
        AND EXISTS (
            SELECT FROM pg_attribute AS attribute
            WHERE attribute.attrelid = relation.oid AND attribute.attname = 'organization_id'
                AND NOT attribute.attisdropped
        )
        AND NOT CASE
            WHEN relation.relispartition THEN NOT EXISTS (
                SELECT FROM aclexplode(relation.relacl) AS acl WHERE acl.grantee <> relation.relowner
            )
            ELSE
                relation.relrowsecurity AND relation.relforcerowsecurity
                AND EXISTS (SELECT FROM pg_policy AS policy WHERE policy.polrelid = relation.oid)
        END;
    SELECT
        CASE WHEN v_open IS NULL THEN 'pass' ELSE 'fail' END,
        coalesce('open: ' || v_open, 'all tables'),
        'row security enabled, forced and with a policy on every table with organization_id',
        'Run `guestcomms migrate apply`; a table of its own making needs ENABLE and FORCE ROW LEVEL SECURITY.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_row_security() IS 'Readiness: row security on every tenant table.';
REVOKE ALL ON FUNCTION internal.readiness_row_security() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_row_security() TO comms_ops, comms_monitor;
