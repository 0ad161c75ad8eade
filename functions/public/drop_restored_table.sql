CREATE OR REPLACE FUNCTION public.drop_restored_table(p_drill_id text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Throw away the rows that a restore brought into schema `restored`; the live table is not touched. False if there
   were none (any more). They are personal data that no erasure reaches: do it as soon as they are not needed.
   Raises GC146 if there is no such restore of a table. */
DECLARE
    v_was_there boolean;
BEGIN
    UPDATE public.communication_table_restores AS mine
    SET dropped_at = coalesce(mine.dropped_at, clock_timestamp())
    WHERE mine.drill_id = p_drill_id
    RETURNING to_regclass(format('restored.%I', p_drill_id)) IS NOT NULL INTO v_was_there;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no restore "%" of a table', p_drill_id
        USING ERRCODE = 'GC146', HINT = 'SELECT drill_id, table_name FROM communication_table_restores.';
    END IF;
    EXECUTE format('DROP TABLE IF EXISTS restored.%I, restored.%I', p_drill_id, p_drill_id || '_difference');
    RETURN v_was_there;
END
$plpgsql$;

COMMENT ON FUNCTION public.drop_restored_table(text) IS 'Throw away the rows that a restore of a table brought.';
REVOKE ALL ON FUNCTION public.drop_restored_table(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.drop_restored_table(text) TO comms_ops;
