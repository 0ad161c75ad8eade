CREATE OR REPLACE FUNCTION public.open_data_subject_request(
    p_organization_id uuid, p_guest_id uuid, p_kind text, p_received_at timestamptz DEFAULT NULL,
    p_note text DEFAULT NULL
) RETURNS public.data_subject_requests
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Write down what a guest asked for (access, rectification, erasure, restriction, portability, objection), received
   then (NULL: now) and due a month later (GDPR Art 12(3)). While such a request is open, another one of the same kind
   returns it. Does nothing of what is asked. Returns the request.
   Raises GC300 for NULL, GC410 for an unknown guest, GC423 for another kind, an unreadable note or a moment in the
   future or more than a year ago. */
DECLARE
    v_received_at constant timestamptz := coalesce(p_received_at, clock_timestamp());
    v_request public.data_subject_requests;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    PERFORM internal.require_given(jsonb_build_object('p_kind', p_kind));
    PERFORM internal.require_text('p_note', p_note, 2000, 'GC423');
    IF p_kind NOT IN ('access', 'rectification', 'erasure', 'restriction', 'portability', 'objection') THEN
        RAISE EXCEPTION 'there is no request of kind "%"', left(p_kind, 100)
        USING ERRCODE = 'GC423', HINT = 'access, rectification, erasure, restriction, portability or objection.';
    ELSIF v_received_at NOT BETWEEN clock_timestamp() - interval '1 year' AND clock_timestamp() THEN
        RAISE EXCEPTION 'a request cannot have been received at %', p_received_at
        USING ERRCODE = 'GC423', HINT = 'Give a moment of the last year, or NULL for now.';
    END IF;
    PERFORM internal.require_guest(p_organization_id, p_guest_id);
    SELECT open_one.* INTO v_request
    FROM public.data_subject_requests AS open_one
    WHERE
        open_one.organization_id = p_organization_id AND open_one.guest_id = p_guest_id
        AND open_one.kind = p_kind AND open_one.closed_at IS NULL;
    IF NOT FOUND THEN
        INSERT INTO public.data_subject_requests AS request (
            organization_id, guest_id, kind, received_at, due_at, note
        )
        VALUES (
            p_organization_id, p_guest_id, p_kind, v_received_at, v_received_at + interval '1 month', p_note
        )
        RETURNING request.* INTO v_request;
    END IF;
    RETURN v_request;
END
$plpgsql$;

COMMENT ON FUNCTION public.open_data_subject_request(uuid, uuid, text, timestamptz, text) IS
'Write down what a guest asked for under GDPR Art 15 to 22; due within a month.';
REVOKE ALL ON FUNCTION public.open_data_subject_request(uuid, uuid, text, timestamptz, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.open_data_subject_request(uuid, uuid, text, timestamptz, text) TO comms_app;
