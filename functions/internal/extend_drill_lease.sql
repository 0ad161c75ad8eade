CREATE OR REPLACE FUNCTION internal.extend_drill_lease(
    p_drill_id text, p_node text, p_attempt bigint, p_lease interval, p_step text
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Extend the lease of a running drill and say what it is doing. False: this attempt no longer has it and must stop.
   Raises GC102 for a lease outside of 10 seconds to 1 day. */
BEGIN
    IF p_lease IS NULL OR p_lease NOT BETWEEN interval '10 seconds' AND interval '1 day' THEN
        RAISE EXCEPTION 'a lease of % is not possible', p_lease
        USING ERRCODE = 'GC102', HINT = 'Give an interval between 10 seconds and 1 day.';
    END IF;
    UPDATE public.communication_restore_drills AS mine
    SET lease_until = clock_timestamp() + p_lease, step = left(p_step, 200)
    WHERE mine.drill_id = p_drill_id AND mine.node = p_node AND mine.attempts = p_attempt
        AND mine.status = 'running';
    RETURN FOUND;
END
$plpgsql$;

COMMENT ON FUNCTION internal.extend_drill_lease(text, text, bigint, interval, text) IS
'Extend the lease of a running drill; false tells the machine that it no longer has it.';
REVOKE ALL ON FUNCTION internal.extend_drill_lease(text, text, bigint, interval, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.extend_drill_lease(text, text, bigint, interval, text) TO comms_agent;
