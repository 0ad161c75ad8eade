SET LOCAL ROLE comms_maintenance; -- control messages are of no tenant
CREATE OR REPLACE FUNCTION public.wanted_workers() RETURNS TABLE (
    batch_id text, worker_count integer, acknowledged boolean
)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* How many workers operations want: the newest scale_workers message of the queue, and whether the supervisor has
       acknowledged it. No row: nobody has asked for a number yet. */
    SELECT wish.batch_id, (wish.payload ->> 'worker_count')::integer, wish.state = 'acknowledged'
    FROM public.communication_batch_queue AS wish
    WHERE wish.organization_id = '00000000-0000-0000-0000-000000000000' AND wish.operation_type = 'scale_workers'
    ORDER BY wish.created_at DESC, wish.batch_id DESC
    LIMIT 1
$sql$;

COMMENT ON FUNCTION public.wanted_workers() IS
'How many workers operations want, by the newest scale_workers message, and whether that was acknowledged.';
REVOKE ALL ON FUNCTION public.wanted_workers() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.wanted_workers() TO comms_worker, comms_ops, comms_monitor;
