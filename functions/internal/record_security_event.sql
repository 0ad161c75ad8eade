SET LOCAL ROLE comms_maintenance; -- what the application may write, it may not read
CREATE OR REPLACE FUNCTION internal.record_security_event(
    p_organization_id uuid, p_event_type text, p_user_id text DEFAULT NULL, p_ip_address inet DEFAULT NULL,
    p_success boolean DEFAULT true, p_details jsonb DEFAULT '{}', p_risk_level text DEFAULT NULL
) RETURNS public.communication_security_audit
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Add an event to the audit, for functions of ours; NULL or the nil UUID: of the platform. Returns the row.
   The level is that of assess_risk(), or p_risk_level if that is worse: a caller knows more, never less.
   Raises GC300 for NULL, 23514 for a name, a level or details that the table does not take. */
DECLARE
    v_risk record;
    v_row public.communication_security_audit;
BEGIN
    IF p_event_type IS NULL OR p_success IS NULL THEN
        RAISE EXCEPTION '% is NULL', CASE WHEN p_event_type IS NULL THEN 'p_event_type' ELSE 'p_success' END
        USING ERRCODE = 'GC300', HINT = 'Say what happened, and whether it succeeded.';
    END IF;
    SELECT risk.* INTO STRICT v_risk
    FROM public.assess_risk(p_organization_id, p_event_type, p_user_id, p_ip_address, p_success) AS risk;
    INSERT INTO public.communication_security_audit AS audit (
        organization_id, event_type, user_id, ip_address, risk_level, success, details
    )
    VALUES (
        coalesce(p_organization_id, '00000000-0000-0000-0000-000000000000'), p_event_type, p_user_id, p_ip_address,
        greatest(v_risk.risk_level COLLATE internal.risk_order, p_risk_level), p_success,
        coalesce(p_details, '{}') || jsonb_build_object(
            'risk', jsonb_build_object('score', v_risk.score, 'reasons', v_risk.reasons)
        )
    )
    RETURNING audit.* INTO v_row;
    RETURN v_row;
END
$plpgsql$;

COMMENT ON FUNCTION internal.record_security_event(uuid, text, text, inet, boolean, jsonb, text) IS
'Add an event to the audit, for functions of ours; NULL is the platform.';
REVOKE ALL ON FUNCTION internal.record_security_event(uuid, text, text, inet, boolean, jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.record_security_event(uuid, text, text, inet, boolean, jsonb, text) TO comms_owner;
