SET LOCAL ROLE comms_maintenance; -- a worker serves every tenant
CREATE OR REPLACE FUNCTION public.extend_lease(
    p_organization_id uuid, p_batch_id text, p_lease_token uuid, p_lease interval DEFAULT '60 seconds'
) RETURNS timestamptz
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Extend the lease of a chunk from now on; returns until when. Raises GC360 for a lease outside of 1 second to 1 hour,
   GC361 if the lease is not held (any more): stop sending this chunk. */
DECLARE
    v_lease_until timestamptz;
BEGIN
    IF p_lease IS NULL OR p_lease NOT BETWEEN interval '1 second' AND interval '1 hour' THEN
        RAISE EXCEPTION 'a lease of % is not possible', p_lease
        USING ERRCODE = 'GC360', HINT = 'Give an interval from 1 second to 1 hour.';
    END IF;
    UPDATE public.communication_batch_queue AS mine
    SET lease_until = clock_timestamp() + p_lease
    WHERE mine.organization_id = p_organization_id AND mine.batch_id = p_batch_id
        AND mine.lease_token = p_lease_token
    RETURNING mine.lease_until INTO v_lease_until;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'the lease of batch "%" is not held with this token', p_batch_id
        USING ERRCODE = 'GC361', HINT = 'Stop sending it; record_delivery_events() takes what is known of its messages.';
    END IF;
    RETURN v_lease_until;
END
$plpgsql$;

COMMENT ON FUNCTION public.extend_lease(uuid, text, uuid, interval) IS
'Extend the lease of a chunk from now on; refused (GC361) after it was lost.';
REVOKE ALL ON FUNCTION public.extend_lease(uuid, text, uuid, interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.extend_lease(uuid, text, uuid, interval) TO comms_worker;
