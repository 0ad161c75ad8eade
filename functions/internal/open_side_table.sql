CREATE OR REPLACE FUNCTION internal.open_side_table(
    p_drill_id text, p_node text, p_attempt bigint, p_definition jsonb
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Make the table in schema `restored` that takes the rows of a running drill, empty, and return its name. Until
   close_side_table() the agent may add rows and nobody may read them; what an attempt before left is dropped.
   p_definition: how the table was: columns (array of {name, type}), key (array of names), and what else
   the ledger is to remember of it. Types that are not there any more become text.
   Raises GC103 if this attempt does not have the drill, GC163 if the definition is not usable. */
DECLARE
    v_column record;
    v_problem text;
BEGIN
    UPDATE public.communication_table_restores AS mine
    SET definition = p_definition, row_count = NULL, carried_at = NULL
    FROM public.communication_restore_drills AS drill
    WHERE mine.drill_id = p_drill_id AND drill.drill_id = p_drill_id AND drill.node = p_node
        AND drill.attempts = p_attempt AND drill.status = 'running';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of drill % is not running on %', p_attempt, p_drill_id, p_node
        USING ERRCODE = 'GC103', HINT = 'Its lease ended and another attempt followed.';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS restored.%I, restored.%I', p_drill_id, p_drill_id || '_difference');
    EXECUTE format('CREATE TABLE restored.%I ()', p_drill_id);
    FOR v_column IN
        SELECT was.name, coalesce(to_regtype(was.type), 'text'::regtype) AS type
        FROM ROWS FROM (
            jsonb_to_recordset(p_definition -> 'columns') AS (name text, type text)
        ) WITH ORDINALITY AS was (name, type, position)
        ORDER BY was.position
    LOOP
        EXECUTE format('ALTER TABLE restored.%I ADD COLUMN %I %s', p_drill_id, v_column.name, v_column.type);
    END LOOP;
    EXECUTE format('REVOKE ALL ON restored.%I FROM PUBLIC', p_drill_id);
    EXECUTE format('GRANT INSERT ON restored.%I TO comms_agent', p_drill_id);
    RETURN format('restored.%I', p_drill_id);
EXCEPTION
    WHEN syntax_error_or_access_rule_violation OR data_exception OR check_violation OR null_value_not_allowed THEN
        GET STACKED DIAGNOSTICS v_problem = MESSAGE_TEXT;
        RAISE EXCEPTION 'the definition of the table of drill % is not usable: %', p_drill_id, v_problem
        USING ERRCODE = 'GC163', HINT = 'It names columns with their types, and the primary key.';
END
$plpgsql$;

COMMENT ON FUNCTION internal.open_side_table(text, text, bigint, jsonb) IS
'Make the empty table that takes the rows which a running drill carries over.';
REVOKE ALL ON FUNCTION internal.open_side_table(text, text, bigint, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.open_side_table(text, text, bigint, jsonb) TO comms_agent;
