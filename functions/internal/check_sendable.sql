CREATE OR REPLACE FUNCTION internal.check_sendable(p_communication public.guest_communications) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Refuse to queue anything for a communication that was cancelled (GC347) or an organization that is not active
   (GC352): its messages would be lost as suppressed. */
DECLARE
    v_state text;
BEGIN
    IF p_communication.status = 'cancelled' THEN
        RAISE EXCEPTION 'communication % was cancelled at %', p_communication.id, p_communication.cancelled_at
        USING ERRCODE = 'GC347', HINT = 'Make a new communication.';
    END IF;
    SELECT organization.state INTO v_state
    FROM public.organizations AS organization
    WHERE organization.organization_id = p_communication.organization_id;
    IF v_state IS DISTINCT FROM 'active' THEN
        RAISE EXCEPTION 'organization % is %', p_communication.organization_id, v_state
        USING ERRCODE = 'GC352', HINT = 'Send when operations has made it active again.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.check_sendable(public.guest_communications) IS
'Refuse to queue anything for a cancelled communication or an organization that is not active.';
REVOKE ALL ON FUNCTION internal.check_sendable(public.guest_communications) FROM PUBLIC;
