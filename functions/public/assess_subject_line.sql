CREATE OR REPLACE FUNCTION public.assess_subject_line(
    p_organization_id uuid, p_communication_id uuid, p_is_accurate boolean, p_assessed_by text
) RETURNS public.communication_canspam_compliance
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What a person says about the subject of a message, which no program can tell (15 USC 7704(a)(2)). The message is
   checked again with it; returns that check.
   Raises GC300 for NULL, GC420 if the organization has no such communication, GC422 without a readable name. */
DECLARE
    v_checked public.communication_canspam_compliance;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    PERFORM internal.require_given(
        jsonb_build_object('p_is_accurate', p_is_accurate, 'p_assessed_by', p_assessed_by)
    );
    PERFORM internal.require_text('p_assessed_by', p_assessed_by, 200, 'GC422');
    INSERT INTO public.communication_canspam_compliance AS checked (
        organization_id, communication_id, subject_line_accurate, subject_assessed_by, subject_assessed_at
    )
    VALUES (p_organization_id, p_communication_id, p_is_accurate, p_assessed_by, clock_timestamp())
    RETURNING checked.* INTO v_checked;
    RETURN v_checked;
END
$plpgsql$;

COMMENT ON FUNCTION public.assess_subject_line(uuid, uuid, boolean, text) IS
'What a named person says about the subject of a message; it is checked again with it.';
REVOKE ALL ON FUNCTION public.assess_subject_line(uuid, uuid, boolean, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.assess_subject_line(uuid, uuid, boolean, text) TO comms_app;
