CREATE OR REPLACE FUNCTION internal.fail_backup(
    p_backup_id text, p_node text, p_attempt bigint, p_error text, p_again_after interval
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Give up an attempt at a backup, and return what the backup is then: `failed`, or still `running` if
   another attempt may follow after the pause p_again_after (NULL: none may; the third is the last).
   Repeating it changes nothing. Raises GC102 for a pause outside of 1 second to 1 day, GC103 if this
   attempt does not have the backup. */
DECLARE
    v_status text;
BEGIN
    IF p_again_after NOT BETWEEN interval '1 second' AND interval '1 day' THEN
        RAISE EXCEPTION 'a pause of % is not possible', p_again_after
        USING ERRCODE = 'GC102', HINT = 'Give an interval between 1 second and 1 day, or NULL.';
    END IF;
    UPDATE public.communication_backups AS given_up
    SET error = left(coalesce(nullif(p_error, ''), 'no reason given'), 4000),
        status = CASE WHEN ending.is_last THEN 'failed' ELSE 'running' END,
        failed_at = CASE WHEN ending.is_last THEN clock_timestamp() END,
        evidence = CASE
            WHEN ending.is_last THEN internal.failed_run('backup', given_up.node, given_up.started_at, p_error)
        END,
        -- Nobody holds this lease: it keeps everybody away until the pause is over.
        lease_until = CASE WHEN NOT ending.is_last THEN clock_timestamp() + p_again_after END
    FROM (SELECT p_again_after IS NULL OR p_attempt >= 3 AS is_last) AS ending
    WHERE given_up.backup_id = p_backup_id AND given_up.node = p_node AND given_up.attempts = p_attempt
        AND given_up.status = 'running'
    RETURNING given_up.status INTO v_status;
    IF NOT FOUND THEN
        SELECT failed.status INTO v_status
        FROM public.communication_backups AS failed
        WHERE failed.backup_id = p_backup_id AND failed.node = p_node AND failed.attempts = p_attempt
            AND failed.status = 'failed';
    END IF;
    IF v_status IS NULL THEN
        RAISE EXCEPTION 'attempt % of backup % is not running on %', p_attempt, p_backup_id, p_node
        USING ERRCODE = 'GC103', HINT = 'Its lease ended and another attempt followed; this failure is dropped.';
    END IF;
    RETURN v_status;
END
$plpgsql$;

COMMENT ON FUNCTION internal.fail_backup(text, text, bigint, text, interval) IS
'Give up an attempt at a backup of this machine, with the reason; another one may follow.';
REVOKE ALL ON FUNCTION internal.fail_backup(text, text, bigint, text, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.fail_backup(text, text, bigint, text, interval) TO comms_agent;
