CREATE OR REPLACE FUNCTION public.release_restore(p_drill_id text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Let go of a copy that was kept: the drill machine destroys it. False if it was not kept (any more).
   Raises GC146 if there is no such drill. */
DECLARE
    v_was_kept boolean;
BEGIN
    SELECT drill.keep INTO v_was_kept
    FROM public.communication_restore_drills AS drill
    WHERE drill.drill_id = p_drill_id
    FOR UPDATE;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no restore "%"', p_drill_id
        USING ERRCODE = 'GC146', HINT = 'SELECT drill_id FROM communication_restore_drills WHERE keep.';
    END IF;
    UPDATE public.communication_restore_drills AS drill
    SET keep = false
    WHERE drill.drill_id = p_drill_id AND drill.keep;
    PERFORM pg_notify('guestcomms_drill', p_drill_id);
    RETURN v_was_kept;
END
$plpgsql$;

COMMENT ON FUNCTION public.release_restore(text) IS 'Let the drill machine destroy a restored copy that was kept.';
REVOKE ALL ON FUNCTION public.release_restore(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.release_restore(text) TO comms_ops;
