CREATE OR REPLACE FUNCTION public.log_security_event(
    p_organization_id uuid, p_event_type text, p_user_id text DEFAULT NULL, p_ip_address inet DEFAULT NULL,
    p_success boolean DEFAULT true, p_details jsonb DEFAULT '{}', p_risk_level text DEFAULT NULL
) RETURNS public.communication_security_audit
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Add an event to the audit and return it with its level of risk, see assess_risk(). The audit's own row counts what
   happened at other organizations, too; the answer is as if there were none, for it is theirs to know.
   NULL for the organization is an event of the platform, such as a login that failed before anybody knew whose it was.
   p_risk_level can only make it worse. An event that was written cannot be changed or taken back, but it is part of
   the transaction: what must stay although the rest is rolled back is logged in a transaction of its own.
   Raises GC001 for an organization that the login is not bound to, GC300 for NULL, GC451 for a name, an address, a
   level or details that the audit does not take. */
DECLARE
    v_risk record;
    v_row public.communication_security_audit;
BEGIN
    IF p_organization_id IS NOT NULL THEN
        PERFORM public.enter_tenant(p_organization_id);
    END IF;
    SELECT risk.* INTO STRICT v_risk
    FROM public.assess_risk(
        p_organization_id, p_event_type, p_user_id, p_ip_address, p_success, p_everywhere => false
    ) AS risk; -- before the event is there, which would count itself
    v_row := internal.record_security_event(
        p_organization_id, p_event_type, p_user_id, p_ip_address, p_success, p_details, p_risk_level
    );
    v_row.risk_level := greatest(v_risk.risk_level COLLATE internal.risk_order, p_risk_level);
    v_row.details := v_row.details || jsonb_build_object(
        'risk', jsonb_build_object('score', v_risk.score, 'reasons', v_risk.reasons)
    );
    RETURN v_row;
EXCEPTION WHEN check_violation THEN
    RAISE EXCEPTION 'the audit does not take this event: %', SQLERRM
    USING ERRCODE = 'GC451',
        HINT = 'Event types are lower_case, levels low, medium, high or critical, details an object of at most 10 kB.';
END
$plpgsql$;

COMMENT ON FUNCTION public.log_security_event(uuid, text, text, inet, boolean, jsonb, text) IS
'Add an event to the security audit; returns it with its level of risk.';
REVOKE ALL ON FUNCTION public.log_security_event(uuid, text, text, inet, boolean, jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.log_security_event(uuid, text, text, inet, boolean, jsonb, text)
TO comms_app, comms_worker, comms_ops;
