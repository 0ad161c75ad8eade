CREATE OR REPLACE FUNCTION public.close_data_subject_request(
    p_organization_id uuid, p_request_id uuid, p_outcome text, p_reason text DEFAULT NULL
) RETURNS public.data_subject_requests
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Close a request of a data subject: fulfilled, refused (with the reason that the person was given, Art 12(4)) or
   withdrawn. An erasure is fulfilled only once the guest is erased. Returns the request.
   Raises GC300 for NULL, GC424 if there is no such open request, GC425 for another outcome, an unreadable reason, a
   refusal without one, or an erasure that has not happened. */
DECLARE
    v_request public.data_subject_requests;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    PERFORM internal.require_given(jsonb_build_object('p_outcome', p_outcome));
    PERFORM internal.require_text('p_reason', p_reason, 500, 'GC425');
    IF p_outcome NOT IN ('fulfilled', 'refused', 'withdrawn') OR p_outcome = 'refused' AND p_reason IS NULL THEN
        RAISE EXCEPTION 'a request cannot be closed as "%" without more', left(p_outcome, 100)
        USING ERRCODE = 'GC425', HINT = 'fulfilled, withdrawn, or refused with p_reason.';
    END IF;
    v_request := internal.require_open_request(p_organization_id, p_request_id);
    IF v_request.kind = 'erasure' AND p_outcome = 'fulfilled' AND EXISTS (
        SELECT FROM public.guests AS guest
        WHERE
            guest.organization_id = p_organization_id AND guest.guest_id = v_request.guest_id
            AND guest.erased_at IS NULL
    ) THEN
        RAISE EXCEPTION 'guest % is not erased', v_request.guest_id
        USING ERRCODE = 'GC425', HINT = 'Call erase_guest() first.';
    END IF;
    UPDATE public.data_subject_requests AS request
    SET outcome = p_outcome, outcome_reason = p_reason, closed_at = clock_timestamp(), closed_by = SESSION_USER
    WHERE request.organization_id = p_organization_id AND request.request_id = p_request_id
    RETURNING request.* INTO v_request;
    RETURN v_request;
END
$plpgsql$;

COMMENT ON FUNCTION public.close_data_subject_request(uuid, uuid, text, text) IS
'Close a request of a data subject: fulfilled, refused with a reason, or withdrawn.';
REVOKE ALL ON FUNCTION public.close_data_subject_request(uuid, uuid, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.close_data_subject_request(uuid, uuid, text, text) TO comms_app;
