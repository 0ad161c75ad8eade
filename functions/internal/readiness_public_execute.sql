CREATE OR REPLACE FUNCTION internal.readiness_public_execute(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* PUBLIC may execute none of our functions. */
DECLARE
    v_open text;
BEGIN
    SELECT string_agg(routine.oid::regprocedure::text, ', ' ORDER BY routine.oid::regprocedure::text)
    INTO v_open
    FROM pg_proc AS routine
    JOIN pg_namespace AS namespace ON namespace.oid = routine.pronamespace
    WHERE
        namespace.nspname IN ('public', 'internal')
        AND EXISTS (
            SELECT FROM aclexplode(coalesce(routine.proacl, acldefault('f', routine.proowner))) AS acl
            WHERE acl.grantee = 0
        );
    SELECT
        CASE WHEN v_open IS NULL THEN 'pass' ELSE 'fail' END,
        coalesce(v_open, 'none'),
        'none',
        'REVOKE ALL ON FUNCTION … FROM PUBLIC in the function''s file.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_public_execute() IS 'Readiness: PUBLIC executes none of our functions.';
REVOKE ALL ON FUNCTION internal.readiness_public_execute() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_public_execute() TO comms_ops, comms_monitor;
