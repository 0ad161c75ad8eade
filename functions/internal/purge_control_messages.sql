SET LOCAL ROLE comms_maintenance; -- control messages are of no tenant
CREATE OR REPLACE FUNCTION internal.purge_control_messages() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Delete control messages that were obeyed a week ago. Returns how many. */
    WITH gone AS (
        DELETE FROM public.communication_batch_queue AS message
        WHERE
            message.operation_type <> 'send' AND message.state = 'acknowledged'
            AND message.created_at < now() - interval '7 days'
        RETURNING 1
    )

    SELECT count(*) FROM gone
$sql$;

COMMENT ON FUNCTION internal.purge_control_messages() IS 'Delete control messages that were obeyed a week ago.';
REVOKE ALL ON FUNCTION internal.purge_control_messages() FROM PUBLIC;
