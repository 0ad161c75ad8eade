CREATE OR REPLACE FUNCTION internal.table_restore_wanted(
    p_drill_id text, OUT table_name text, OUT row_predicate text
) RETURNS SETOF record
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The table whose rows a drill is to carry over, and which of them; no row if it is a drill only. */
    SELECT wanted.table_name, wanted.row_predicate FROM public.communication_table_restores AS wanted
    WHERE wanted.drill_id = p_drill_id
$sql$;

COMMENT ON FUNCTION internal.table_restore_wanted(text) IS 'The table whose rows a drill is to carry over, if any.';
REVOKE ALL ON FUNCTION internal.table_restore_wanted(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.table_restore_wanted(text) TO comms_agent;
