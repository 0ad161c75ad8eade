CREATE OR REPLACE FUNCTION internal.fail_drill(
    p_drill_id text, p_node text, p_attempt bigint, p_error text, p_again_after interval
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Give up an attempt at a drill that came to no verdict, and return what the drill is then: `failed`, or still
   `running` if another attempt may follow after the pause p_again_after (NULL: none may; the third is the last).
   Raises GC102 for a pause outside of 1 second to 1 day, GC103 if this attempt does not have the drill. */
DECLARE
    v_status text;
BEGIN
    IF p_again_after NOT BETWEEN interval '1 second' AND interval '1 day' THEN
        RAISE EXCEPTION 'a pause of % is not possible', p_again_after
        USING ERRCODE = 'GC102', HINT = 'Give an interval between 1 second and 1 day, or NULL.';
    END IF;
    UPDATE public.communication_restore_drills AS given_up
    SET error = left(coalesce(nullif(p_error, ''), 'no reason given'), 4000),
        status = CASE WHEN ending.is_last THEN 'failed' ELSE 'running' END,
        completed_at = CASE WHEN ending.is_last THEN clock_timestamp() END,
        evidence = CASE
            WHEN ending.is_last THEN internal.failed_run('restore_drill', given_up.node, given_up.started_at, p_error)
        END,
        -- Nobody holds this lease: it keeps everybody away until the pause is over.
        lease_until = CASE WHEN NOT ending.is_last THEN clock_timestamp() + p_again_after END
    FROM (SELECT p_again_after IS NULL OR p_attempt >= 3 AS is_last) AS ending
    WHERE given_up.drill_id = p_drill_id AND given_up.node = p_node AND given_up.attempts = p_attempt
        AND given_up.status = 'running'
    RETURNING given_up.status INTO v_status;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of drill % is not running on %', p_attempt, p_drill_id, p_node
        USING ERRCODE = 'GC103', HINT = 'Its lease ended and another attempt followed; this failure is dropped.';
    END IF;
    RETURN v_status;
END
$plpgsql$;

COMMENT ON FUNCTION internal.fail_drill(text, text, bigint, text, interval) IS
'Give up an attempt at a drill of this machine, with the reason; another one may follow.';
REVOKE ALL ON FUNCTION internal.fail_drill(text, text, bigint, text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.fail_drill(text, text, bigint, text, interval) TO comms_agent;
