CREATE OR REPLACE FUNCTION public.request_table_restore(
    p_table text, p_target_type text, p_target text, p_inclusive boolean DEFAULT true, p_rows text DEFAULT NULL
) RETURNS public.communication_table_restores
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Ask for the rows that a table had at a target (as for request_restore_drill(): name, time, lsn or xid), in schema
   `restored`, where no tenant and no application sees them; the live table is not touched. p_rows: only those that
   fulfil this condition, as in WHERE; it is evaluated in the restored copy. The table may have been dropped since.
   While an equal request waits, asking again returns that one. Returns the row of the request.
   Raises GC141 to GC147 as request_restore_drill() does, GC161 for a table that is none of ours, GC162 while a restore
   to the same target waits for another table. */
DECLARE
    v_table constant text := CASE WHEN strpos(p_table, '.') = 0 THEN 'public.' ELSE '' END || p_table;
    v_drill public.communication_restore_drills;
    v_restore public.communication_table_restores;
BEGIN
    IF v_table !~ '^(public|internal)[.][a-z_][a-z0-9_]{0,62}$' OR p_table IS NULL
        OR (
            to_regclass(v_table) IS NOT NULL
            AND NOT EXISTS (SELECT FROM internal.content_tables() AS ours (name) WHERE ours.name = v_table)
        )
    THEN
        RAISE EXCEPTION 'rows of "%" cannot be restored', p_table
        USING ERRCODE = 'GC161',
            HINT = 'Give one of our tables, a partitioned one as a whole; those that keep the books of backups, drills'
                ' and migrations are not among them.';
    END IF;
    IF p_target_type IS NULL OR p_target_type = 'point' THEN
        RAISE EXCEPTION 'nothing can be restored to % "%"', p_target_type, p_target
        USING ERRCODE = 'GC141', HINT = 'Give name, time, lsn or xid: how the table was now, it shows itself.';
    END IF;
    v_drill := public.request_restore_drill(p_target_type, p_target, p_inclusive, false);
    INSERT INTO public.communication_table_restores (drill_id, table_name, row_predicate)
    VALUES (v_drill.drill_id, v_table, nullif(btrim(p_rows), ''))
    ON CONFLICT (drill_id) DO NOTHING
    RETURNING * INTO v_restore;
    IF FOUND THEN
        RETURN v_restore;
    END IF;
    SELECT waiting.* INTO v_restore
    FROM public.communication_table_restores AS waiting
    WHERE waiting.drill_id = v_drill.drill_id AND waiting.table_name = v_table
        AND waiting.row_predicate IS NOT DISTINCT FROM nullif(btrim(p_rows), '');
    IF NOT FOUND THEN
        RAISE EXCEPTION '% waits to restore to the same target for another table or other rows', v_drill.drill_id
        USING ERRCODE = 'GC162', HINT = 'Ask again when it has begun: within seconds, if no other restore runs.';
    END IF;
    RETURN v_restore;
END
$plpgsql$;

COMMENT ON FUNCTION public.request_table_restore(text, text, text, boolean, text) IS
'Ask for the rows that a table had at a moment, in a schema beside; the drill machine''s agent brings them.';
REVOKE ALL ON FUNCTION public.request_table_restore(text, text, text, boolean, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.request_table_restore(text, text, text, boolean, text) TO comms_ops;
