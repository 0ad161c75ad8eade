CREATE OR REPLACE FUNCTION internal.close_side_table(
    p_drill_id text, p_node text, p_attempt bigint, p_row_count bigint
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Close the table of a running drill when all its rows are there: the agent's right to it ends, and only
   comms_maintenance, which compares and copies back, reads it. Also makes its key and its statistics.
   Raises GC103 if this attempt does not have the drill, GC163 if it holds another number of rows than p_row_count. */
DECLARE
    v_key jsonb;
    v_rows bigint;
BEGIN
    SELECT mine.definition -> 'key' INTO v_key
    FROM public.communication_table_restores AS mine
    JOIN public.communication_restore_drills AS drill ON drill.drill_id = mine.drill_id
    WHERE mine.drill_id = p_drill_id AND drill.node = p_node AND drill.attempts = p_attempt
        AND drill.status = 'running'
    FOR UPDATE OF mine;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of drill % is not running on %', p_attempt, p_drill_id, p_node
        USING ERRCODE = 'GC103', HINT = 'Its lease ended and another attempt followed.';
    END IF;
    EXECUTE format('SELECT count(*) FROM restored.%I', p_drill_id) INTO v_rows;
    IF v_rows IS DISTINCT FROM p_row_count THEN
        RAISE EXCEPTION 'restored.% has % rows instead of %', p_drill_id, v_rows, p_row_count
        USING ERRCODE = 'GC163', HINT = 'Carry them over again.';
    END IF;
    EXECUTE format('ALTER TABLE restored.%I ADD PRIMARY KEY (%s)', p_drill_id, (
        SELECT string_agg(quote_ident(key.name), ', ' ORDER BY key.position)
        FROM jsonb_array_elements_text(v_key) WITH ORDINALITY AS key (name, position)
    ));
    EXECUTE format('REVOKE ALL ON restored.%I FROM comms_agent', p_drill_id);
    EXECUTE format('GRANT SELECT ON restored.%I TO comms_maintenance', p_drill_id);
    EXECUTE format(
        'CREATE POLICY maintenance ON restored.%I TO comms_maintenance USING (true) WITH CHECK (true)', p_drill_id
    );
    EXECUTE format('ALTER TABLE restored.%I ENABLE ROW LEVEL SECURITY, FORCE ROW LEVEL SECURITY', p_drill_id);
    EXECUTE format('ANALYZE restored.%I', p_drill_id);
    UPDATE public.communication_table_restores AS mine
    SET row_count = v_rows, carried_at = clock_timestamp()
    WHERE mine.drill_id = p_drill_id;
END
$plpgsql$;

COMMENT ON FUNCTION internal.close_side_table(text, text, bigint, bigint) IS
'Close the table into which a running drill has carried its rows: from then on it is read, by few.';
REVOKE ALL ON FUNCTION internal.close_side_table(text, text, bigint, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.close_side_table(text, text, bigint, bigint) TO comms_agent;
