SET LOCAL ROLE comms_maintenance; -- the keys of a tenant, by somebody who is none
CREATE OR REPLACE FUNCTION public.destroy_organization_keys(p_organization_id uuid, p_name text) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Destroy all keys of an organization and close it, at the end of the term for which its records had to be kept: what
   was encrypted is never read again, by nobody, and no hash is ever matched with an address again. There is no way
   back but a restore of all, for as long as there is a backup from before. p_name is the organization's name: whoever
   destroys says what. Returns how many keys there were; 0 the second time.
   Raises GC300 for NULL, GC215 if no organization has this id and name, GC216 while anything is queued, scheduled or in
   the hands of a worker, GC426 while a legal hold is on the organization or anything of it. */
DECLARE
    v_name text;
    v_hold uuid;
    v_destroyed bigint;
BEGIN
    PERFORM internal.require_given(jsonb_build_object('p_organization_id', p_organization_id, 'p_name', p_name));
    SELECT organization.name INTO v_name
    FROM public.organizations AS organization
    WHERE organization.organization_id = p_organization_id
    FOR UPDATE;
    IF v_name IS DISTINCT FROM p_name THEN
        RAISE EXCEPTION 'there is no organization % of the name "%"', p_organization_id, left(p_name, 100)
        USING ERRCODE = 'GC215', HINT = 'Give the name as organizations has it; nothing was destroyed.';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('legal_holds:' || p_organization_id::text, 0));
    SELECT hold.hold_id INTO v_hold
    FROM public.legal_holds AS hold
    WHERE hold.organization_id = p_organization_id AND hold.lifted_at IS NULL
    ORDER BY hold.hold_id
    LIMIT 1;
    IF v_hold IS NOT NULL THEN
        RAISE EXCEPTION 'legal hold % forbids to destroy the keys of organization %', v_hold, p_organization_id
        USING ERRCODE = 'GC426', HINT = 'Nothing was destroyed. Lift the hold when its reason is gone.';
    ELSIF EXISTS (
        SELECT FROM public.communication_batch_queue AS chunk
        WHERE chunk.organization_id = p_organization_id
    ) THEN
        RAISE EXCEPTION 'organization % still has messages in the queue', p_organization_id
        USING ERRCODE = 'GC216', HINT = 'Nothing was destroyed. cancel_communication() them, or let them be sent.';
    END IF;
    UPDATE public.organizations AS organization
    SET state = 'closed'
    WHERE organization.organization_id = p_organization_id;
    UPDATE public.communication_encryption_keys AS key
    SET
        state = 'destroyed', encrypted_key = NULL, destroyed_at = clock_timestamp(),
        retired_at = coalesce(key.retired_at, clock_timestamp())
    WHERE key.organization_id = p_organization_id AND key.state <> 'destroyed';
    GET DIAGNOSTICS v_destroyed = ROW_COUNT;
    PERFORM internal.record_security_event(
        p_organization_id, 'key_change', SESSION_USER, NULL, true, jsonb_build_object('destroyed', v_destroyed)
    );
    RAISE LOG 'destroyed % keys of organization %', v_destroyed, p_organization_id;
    RETURN v_destroyed;
END
$plpgsql$;

COMMENT ON FUNCTION public.destroy_organization_keys(uuid, text) IS
'Destroy all keys of an organization and close it: what was encrypted is never read again. There is no way back.';
REVOKE ALL ON FUNCTION public.destroy_organization_keys(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.destroy_organization_keys(uuid, text) TO comms_ops;
