CREATE OR REPLACE FUNCTION internal.fail_backup(p_backup_id text, p_node text, p_error text)
RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Give up a running backup of this machine. Repeating it changes nothing.
   Raises GC103 if this machine does not have the backup. */
BEGIN
    UPDATE public.communication_backups AS failed
    SET status = 'failed', failed_at = clock_timestamp(), lease_until = NULL,
        error = left(coalesce(nullif(p_error, ''), 'no reason given'), 4000)
    WHERE failed.backup_id = p_backup_id AND failed.node = p_node AND failed.status = 'running';
    IF NOT FOUND AND NOT EXISTS (
        SELECT FROM public.communication_backups AS failed
        WHERE failed.backup_id = p_backup_id AND failed.node = p_node AND failed.status = 'failed'
    ) THEN
        RAISE EXCEPTION 'backup % is not running on %', p_backup_id, p_node
        USING ERRCODE = 'GC103', HINT = 'Its lease ended and another machine took it; this failure is dropped.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.fail_backup(
    text, text, text
) IS 'Give up a running backup of this machine, with the reason.';
REVOKE ALL ON FUNCTION internal.fail_backup(text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.fail_backup(text, text, text) TO comms_agent;
