CREATE OR REPLACE FUNCTION internal.communication(
    p_organization_id uuid, p_communication_id uuid, p_lock boolean DEFAULT false
) RETURNS public.guest_communications
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* One communication of the entered organization; with p_lock no other call that locks it runs before the end of
   this transaction: one sender at a time, and none beside a cancellation. Whoever holds a lock on recipients or
   chunks must not wait for this one.
   Raises GC300 if the id is NULL, GC342 if the organization has no such communication. */
DECLARE
    v_found public.guest_communications;
BEGIN
    IF p_communication_id IS NULL THEN
        RAISE EXCEPTION 'p_communication_id is NULL'
        USING ERRCODE = 'GC300', HINT = 'Give the id that create_communication() returned.';
    END IF;
    IF p_lock THEN
        SELECT communication.* INTO v_found
        FROM public.guest_communications AS communication
        WHERE
            communication.organization_id = p_organization_id AND communication.id = p_communication_id
            AND communication.created_at = internal.uuid_v7_time(p_communication_id)
        FOR NO KEY UPDATE;
    ELSE
        SELECT communication.* INTO v_found
        FROM public.guest_communications AS communication
        WHERE
            communication.organization_id = p_organization_id AND communication.id = p_communication_id
            AND communication.created_at = internal.uuid_v7_time(p_communication_id);
    END IF;
    IF v_found.id IS NULL THEN
        RAISE EXCEPTION 'organization % has no communication %', p_organization_id, p_communication_id
        USING ERRCODE = 'GC342', HINT = 'Give the id that create_communication() returned.';
    END IF;
    RETURN v_found;
END
$plpgsql$;

COMMENT ON FUNCTION internal.communication(uuid, uuid, boolean) IS
'One communication, locked for this transaction if wished; refused (GC342) if there is none.';
REVOKE ALL ON FUNCTION internal.communication(uuid, uuid, boolean) FROM PUBLIC;
