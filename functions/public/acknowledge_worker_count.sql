SET LOCAL ROLE comms_maintenance; -- control messages are of no tenant
CREATE OR REPLACE FUNCTION public.acknowledge_worker_count(p_supervisor text, p_batch_id text) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Say that a scale_workers message was obeyed; it and those before it become acknowledged, payload says by whom and
   when. Again it changes nothing. Returns the number of workers. Raises GC300 without a supervisor, GC367 if there is
   no such message. */
DECLARE
    v_wish public.communication_batch_queue;
BEGIN
    IF p_supervisor IS NULL THEN
        RAISE EXCEPTION 'p_supervisor is missing' USING ERRCODE = 'GC300', HINT = 'Say who obeyed the message.';
    END IF;
    SELECT wish.* INTO v_wish
    FROM public.communication_batch_queue AS wish
    WHERE wish.organization_id = '00000000-0000-0000-0000-000000000000' AND wish.batch_id = p_batch_id
        AND wish.operation_type = 'scale_workers';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no scale_workers message "%"', p_batch_id
        USING ERRCODE = 'GC367', HINT = 'wanted_workers() names the newest.';
    END IF;
    UPDATE public.communication_batch_queue AS earlier
    SET state = 'acknowledged',
        payload = earlier.payload
        || jsonb_build_object('acknowledged_by', p_supervisor, 'acknowledged_at', clock_timestamp())
    WHERE earlier.organization_id = '00000000-0000-0000-0000-000000000000'
        AND earlier.operation_type = 'scale_workers' AND earlier.state = 'ready'
        AND (earlier.created_at, earlier.batch_id) <= (v_wish.created_at, v_wish.batch_id);
    RETURN (v_wish.payload ->> 'worker_count')::integer;
END
$plpgsql$;

COMMENT ON FUNCTION public.acknowledge_worker_count(text, text) IS
'Say that a scale_workers message was obeyed; it and those before it become acknowledged.';
REVOKE ALL ON FUNCTION public.acknowledge_worker_count(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.acknowledge_worker_count(text, text) TO comms_worker;
