SET LOCAL ROLE comms_maintenance; -- the place in the queue is of all tenants
CREATE OR REPLACE FUNCTION internal.fair_rank(p_organization_id uuid, p_priority integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Virtual time in recipients from which new chunks of an organization count: behind its own ones that wait, and not
       before the front of the queue. */
    SELECT greatest(
        internal.queue_front(p_priority),
        (
            SELECT max(own.fair_rank) FROM public.communication_batch_queue AS own
            WHERE own.state = 'ready' AND own.operation_type = 'send' AND own.organization_id = p_organization_id
        )
    )
$sql$;

COMMENT ON FUNCTION internal.fair_rank(uuid, integer) IS
'Virtual time in recipients from which new chunks of an organization count.';
REVOKE ALL ON FUNCTION internal.fair_rank(uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.fair_rank(uuid, integer) TO comms_owner;
