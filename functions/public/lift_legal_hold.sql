CREATE OR REPLACE FUNCTION public.lift_legal_hold(p_organization_id uuid, p_hold_id uuid) RETURNS public.legal_holds
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* End a legal hold; returns it. Lifting it again changes nothing.
   Raises GC300 for NULL, GC427 if the organization has no such hold. */
DECLARE
    v_hold public.legal_holds;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    PERFORM internal.require_given(jsonb_build_object('p_hold_id', p_hold_id));
    UPDATE public.legal_holds AS hold
    SET lifted_at = coalesce(hold.lifted_at, clock_timestamp()), lifted_by = coalesce(hold.lifted_by, SESSION_USER)
    WHERE hold.organization_id = p_organization_id AND hold.hold_id = p_hold_id
    RETURNING hold.* INTO v_hold;
    IF v_hold.hold_id IS NULL THEN
        RAISE EXCEPTION 'organization % has no legal hold %', p_organization_id, p_hold_id
        USING ERRCODE = 'GC427', HINT = 'Give the id that place_legal_hold() returned.';
    END IF;
    RETURN v_hold;
END
$plpgsql$;

COMMENT ON FUNCTION public.lift_legal_hold(uuid, uuid) IS 'End a legal hold.';
REVOKE ALL ON FUNCTION public.lift_legal_hold(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.lift_legal_hold(uuid, uuid) TO comms_app;
