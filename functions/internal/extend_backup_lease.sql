CREATE OR REPLACE FUNCTION internal.extend_backup_lease(
    p_backup_id text, p_node text, p_attempt bigint, p_lease interval
) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Extend the lease of a running backup. False: this attempt no longer has it and must stop taking it.
   Raises GC102 for a lease outside of 10 seconds to 1 day. */
BEGIN
    IF p_lease IS NULL OR p_lease NOT BETWEEN interval '10 seconds' AND interval '1 day' THEN
        RAISE EXCEPTION 'a lease of % is not possible', p_lease
        USING ERRCODE = 'GC102', HINT = 'Give an interval between 10 seconds and 1 day.';
    END IF;
    UPDATE public.communication_backups AS mine
    SET lease_until = clock_timestamp() + p_lease
    WHERE mine.backup_id = p_backup_id AND mine.node = p_node AND mine.attempts = p_attempt
        AND mine.status = 'running';
    RETURN FOUND;
END
$plpgsql$;

COMMENT ON FUNCTION internal.extend_backup_lease(text, text, bigint, interval) IS
'Extend the lease of a running backup; false tells the machine that it no longer has it.';
REVOKE ALL ON FUNCTION internal.extend_backup_lease(text, text, bigint, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.extend_backup_lease(text, text, bigint, interval) TO comms_agent;
