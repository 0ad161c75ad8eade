CREATE OR REPLACE FUNCTION internal.current_organization() RETURNS uuid
LANGUAGE plpgsql STABLE PARALLEL SAFE SECURITY DEFINER
-- No SET clause, alone among our functions: policies call it once per statement, and the clause costs
-- 15 % of a point query. Every name and operator below is qualified instead; a test keeps it so. For the
-- same reason two statements of one index each: one statement with two EXISTS costs a quarter more.
AS $plpgsql$
/* The organization this transaction has entered, if the login may act for it; else NULL, which no
   row equals. app.organization_id can be set by anybody, so it counts only together with a binding. */
DECLARE
    v_setting pg_catalog.text := pg_catalog.current_setting('app.organization_id', true);
    v_organization_id pg_catalog.uuid;
BEGIN
    IF v_setting IS NULL OR NOT pg_catalog.pg_input_is_valid(v_setting, 'uuid') THEN
        RETURN NULL;
    END IF;
    v_organization_id := v_setting::pg_catalog.uuid;
    PERFORM FROM internal.organization_logins AS bound
    WHERE
        bound.organization_id OPERATOR(pg_catalog.=) v_organization_id
        AND bound.login OPERATOR(pg_catalog.=) SESSION_USER;
    IF FOUND THEN
        RETURN v_organization_id;
    END IF;
    PERFORM FROM internal.unrestricted_logins AS unrestricted
    WHERE unrestricted.login OPERATOR(pg_catalog.=) SESSION_USER;
    IF FOUND THEN
        RETURN v_organization_id;
    END IF;
    RETURN NULL;
END
$plpgsql$;

COMMENT ON FUNCTION internal.current_organization() IS
'The organization entered with enter_tenant(), NULL unless the login is bound to it. Policies compare with it.';
REVOKE ALL ON FUNCTION internal.current_organization() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.current_organization()
TO comms_app, comms_worker, comms_maintenance;
