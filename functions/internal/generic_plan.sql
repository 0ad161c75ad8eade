SET LOCAL ROLE comms_maintenance; -- it may read every table, and execute next to nothing
CREATE OR REPLACE FUNCTION internal.generic_plan(p_query text) RETURNS jsonb
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, public, pg_temp
AS $plpgsql$
/* The plan of a normalised statement for any values, or NULL where EXPLAIN (GENERIC_PLAN) cannot tell: not a query,
   or about something that this function's owner may not see. The statement is planned, never run; nobody but the
   owner can have made a function that planning would call. Planned as the owner: without the policies of a tenant.
   The text comes from pg_stat_statements: @plpgsql_check_options: security_warnings = false */
DECLARE
    v_plan json;
BEGIN
    IF p_query !~* '^\s*(SELECT|INSERT|UPDATE|DELETE|MERGE|WITH)\M' THEN
        RETURN NULL;
    END IF;
    EXECUTE 'EXPLAIN (GENERIC_PLAN, FORMAT JSON) ' || p_query INTO v_plan;
    RETURN v_plan::jsonb -> 0 -> 'Plan';
EXCEPTION WHEN OTHERS THEN
    RETURN NULL;
END
$plpgsql$;

COMMENT ON FUNCTION internal.generic_plan(text) IS
'The plan of a normalised statement for any values; NULL where there is none. The statement is never run.';
REVOKE ALL ON FUNCTION internal.generic_plan(text) FROM PUBLIC;
