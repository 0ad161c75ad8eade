CREATE OR REPLACE FUNCTION public.validate_canspam_compliance(p_organization_id uuid, p_communication_id uuid)
RETURNS public.communication_canspam_compliance
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Check a message against 15 USC 7704 and keep what was found; returns it, with a finding for every duty. The score is
   the share of the duties that apply and can be checked.
   Raises GC300 for NULL, GC420 if the organization has no such communication. */
DECLARE
    v_checked public.communication_canspam_compliance;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    INSERT INTO public.communication_canspam_compliance AS checked (organization_id, communication_id)
    VALUES (p_organization_id, p_communication_id)
    RETURNING checked.* INTO v_checked;
    RETURN v_checked;
END
$plpgsql$;

COMMENT ON FUNCTION public.validate_canspam_compliance(uuid, uuid) IS
'Check a message against 15 USC 7704 and keep what was found.';
REVOKE ALL ON FUNCTION public.validate_canspam_compliance(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.validate_canspam_compliance(uuid, uuid) TO comms_app;
