CREATE OR REPLACE FUNCTION internal.extend_backup_check_lease(
    p_check_id text, p_node text, p_attempt bigint, p_lease interval
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Extend the lease of a running check. False: this attempt no longer has it, and its result is of no use.
   Raises GC102 for a lease outside of 10 seconds to 1 day. */
BEGIN
    IF p_lease IS NULL OR p_lease NOT BETWEEN interval '10 seconds' AND interval '1 day' THEN
        RAISE EXCEPTION 'a lease of % is not possible', p_lease
        USING ERRCODE = 'GC102', HINT = 'Give an interval between 10 seconds and 1 day.';
    END IF;
    UPDATE public.communication_backup_checks AS mine
    SET lease_until = clock_timestamp() + p_lease
    WHERE mine.check_id = p_check_id AND mine.node = p_node AND mine.attempts = p_attempt
        AND mine.status = 'running';
    RETURN FOUND;
END
$plpgsql$;

COMMENT ON FUNCTION internal.extend_backup_check_lease(text, text, bigint, interval) IS
'Extend the lease of a running check of backups; false tells the machine that it no longer has it.';
REVOKE ALL ON FUNCTION internal.extend_backup_check_lease(text, text, bigint, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.extend_backup_check_lease(text, text, bigint, interval) TO comms_agent;
