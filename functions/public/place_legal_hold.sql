CREATE OR REPLACE FUNCTION public.place_legal_hold(
    p_organization_id uuid, p_reason text, p_guest_id uuid DEFAULT NULL, p_communication_id uuid DEFAULT NULL
) RETURNS public.legal_holds
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Keep what a dispute needs: everything about a guest, everything about a communication, or with neither all of the
   organization. Until lift_legal_hold() neither erasure nor retention touches it. Returns the hold.
   Raises GC300 without a reason, GC410 for an unknown guest, GC420 for an unknown communication, GC427 for both at
   once or an unreadable reason. */
DECLARE
    v_hold public.legal_holds;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    PERFORM internal.require_given(jsonb_build_object('p_reason', p_reason));
    PERFORM internal.require_text('p_reason', p_reason, 500, 'GC427');
    IF num_nonnulls(p_guest_id, p_communication_id) = 2 THEN
        RAISE EXCEPTION 'a hold is on a guest or on a communication, not on both'
        USING ERRCODE = 'GC427', HINT = 'Place two holds.';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended('legal_holds:' || p_organization_id::text, 0));
    IF p_guest_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM public.guests AS known
        WHERE known.organization_id = p_organization_id AND known.guest_id = p_guest_id AND known.erased_at IS NULL
    ) THEN
        RAISE EXCEPTION 'organization % has no guest %', p_organization_id, p_guest_id
        USING ERRCODE = 'GC410', HINT = 'Give the id that upsert_guests() returned; an erased guest is gone.';
    ELSIF p_communication_id IS NOT NULL AND NOT EXISTS (
        SELECT FROM public.guest_communications AS known
        WHERE
            known.organization_id = p_organization_id AND known.id = p_communication_id
            AND known.created_at = internal.uuid_v7_time(p_communication_id)
    ) THEN
        RAISE EXCEPTION 'organization % has no communication %', p_organization_id, p_communication_id
        USING ERRCODE = 'GC420', HINT = 'Give the id that create_communication() returned.';
    END IF;
    INSERT INTO public.legal_holds AS hold (organization_id, guest_id, communication_id, reason)
    VALUES (p_organization_id, p_guest_id, p_communication_id, p_reason)
    RETURNING hold.* INTO v_hold;
    RETURN v_hold;
END
$plpgsql$;

COMMENT ON FUNCTION public.place_legal_hold(uuid, text, uuid, uuid) IS
'Keep what a dispute needs: a guest, a communication or all of the organization.';
REVOKE ALL ON FUNCTION public.place_legal_hold(uuid, text, uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.place_legal_hold(uuid, text, uuid, uuid) TO comms_app;
