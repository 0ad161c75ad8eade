CREATE OR REPLACE FUNCTION internal.kept_copies(p_node text) RETURNS SETOF text
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The drills whose copies stay on p_node: the agent destroys every other one that it finds there. */
    SELECT drill.drill_id FROM public.communication_restore_drills AS drill
    WHERE drill.keep AND drill.node = p_node AND drill.status IN ('running', 'completed')
$sql$;

COMMENT ON FUNCTION internal.kept_copies(text) IS 'The drills whose restored copies stay on a machine.';
REVOKE ALL ON FUNCTION internal.kept_copies(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.kept_copies(text) TO comms_agent;
