CREATE OR REPLACE FUNCTION public.extend_data_subject_request(
    p_organization_id uuid, p_request_id uuid, p_reason text
) RETURNS public.data_subject_requests
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Take two months more for a complex request, once and within the first month, as GDPR Art 12(3) allows to who tells
   the person why. Returns the request.
   Raises GC300 for NULL, GC424 if there is no such open request, GC425 for an unreadable reason, or if the request
   was extended before or is overdue. */
DECLARE
    v_request public.data_subject_requests;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    PERFORM internal.require_given(jsonb_build_object('p_reason', p_reason));
    PERFORM internal.require_text('p_reason', p_reason, 500, 'GC425');
    v_request := internal.require_open_request(p_organization_id, p_request_id);
    IF v_request.extension_reason IS NOT NULL OR v_request.due_at < clock_timestamp() THEN
        RAISE EXCEPTION 'request % was due at % and cannot be extended any more', p_request_id, v_request.due_at
        USING ERRCODE = 'GC425', HINT = 'It is extended once, within the first month. Answer it.';
    END IF;
    UPDATE public.data_subject_requests AS request
    SET due_at = request.received_at + interval '3 months', extension_reason = p_reason
    WHERE request.organization_id = p_organization_id AND request.request_id = p_request_id
    RETURNING request.* INTO v_request;
    RETURN v_request;
END
$plpgsql$;

COMMENT ON FUNCTION public.extend_data_subject_request(uuid, uuid, text) IS
'Take two months more for a request, once, with a reason (GDPR Art 12(3)).';
REVOKE ALL ON FUNCTION public.extend_data_subject_request(uuid, uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.extend_data_subject_request(uuid, uuid, text) TO comms_app;
