SET LOCAL ROLE comms_maintenance; -- the place in the queue is of all tenants
CREATE OR REPLACE FUNCTION internal.fair_rank(p_organization_id uuid, p_channel text) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Virtual time in recipients from which new chunks of an organization count: behind its own ones of the channel
       that wait, whatever their priority, and not before the front of the queue. */
    SELECT greatest(
        internal.queue_front(),
        (
            SELECT max(last.fair_rank)
            FROM generate_series(1, 9) AS level (priority)
            CROSS JOIN LATERAL (
                SELECT own.fair_rank FROM public.communication_batch_queue AS own
                WHERE
                    own.state = 'ready' AND own.operation_type = 'send' AND own.organization_id = p_organization_id
                    AND own.channel = p_channel AND own.priority = level.priority
                ORDER BY own.fair_rank DESC
                LIMIT 1
            ) AS last
        )
    )
$sql$;

COMMENT ON FUNCTION internal.fair_rank(uuid, text) IS
'Virtual time in recipients from which new chunks of an organization count.';
REVOKE ALL ON FUNCTION internal.fair_rank(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.fair_rank(uuid, text) TO comms_owner;
