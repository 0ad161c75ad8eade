CREATE OR REPLACE FUNCTION internal.mark_drill_point(p_drill_id text, p_node text, p_attempt bigint)
RETURNS public.communication_recovery_points
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Make the recovery point that a running drill of type `point` restores to, one for each attempt.
   Raises GC103 if this attempt does not have the drill. */
DECLARE
    v_point public.communication_recovery_points;
BEGIN
    INSERT INTO public.communication_recovery_points (recovery_point_id, recovery_type)
    VALUES (format('%s-%s', p_drill_id, p_attempt), 'point_in_time')
    RETURNING * INTO v_point;
    UPDATE public.communication_restore_drills AS mine
    SET recovery_point_id = v_point.recovery_point_id
    WHERE mine.drill_id = p_drill_id AND mine.node = p_node AND mine.attempts = p_attempt
        AND mine.status = 'running' AND mine.target_type = 'point';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of drill % is not running on %', p_attempt, p_drill_id, p_node
        USING ERRCODE = 'GC103', HINT = 'Its lease ended and another attempt followed.';
    END IF;
    RETURN v_point;
END
$plpgsql$;

COMMENT ON FUNCTION internal.mark_drill_point(text, text, bigint) IS
'Make the recovery point that a running drill restores to.';
REVOKE ALL ON FUNCTION internal.mark_drill_point(text, text, bigint) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.mark_drill_point(text, text, bigint) TO comms_agent;
