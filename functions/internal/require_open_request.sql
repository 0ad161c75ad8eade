CREATE OR REPLACE FUNCTION internal.require_open_request(p_organization_id uuid, p_request_id uuid)
RETURNS public.data_subject_requests
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* An open request of a data subject, locked. Raises GC300 for NULL, GC424 if there is none or it is closed. */
DECLARE
    v_request public.data_subject_requests;
BEGIN
    PERFORM internal.require_given(jsonb_build_object('p_request_id', p_request_id));
    SELECT known.* INTO v_request
    FROM public.data_subject_requests AS known
    WHERE
        known.organization_id = p_organization_id AND known.request_id = p_request_id AND known.closed_at IS NULL
    FOR NO KEY UPDATE;
    IF v_request.request_id IS NULL THEN
        RAISE EXCEPTION 'organization % has no open request %', p_organization_id, p_request_id
        USING ERRCODE = 'GC424', HINT = 'data_subject_requests lists them; a closed one stays as it is.';
    END IF;
    RETURN v_request;
END
$plpgsql$;

COMMENT ON FUNCTION internal.require_open_request(uuid, uuid) IS
'An open request of a data subject, locked; refused (GC424) if there is none.';
REVOKE ALL ON FUNCTION internal.require_open_request(uuid, uuid) FROM PUBLIC;
