SET LOCAL ROLE comms_maintenance; -- an address that tries one tenant after another is seen only across all
CREATE OR REPLACE FUNCTION public.assess_risk(
    p_organization_id uuid, p_event_type text, p_user_id text, p_ip_address inet, p_success boolean,
    p_everywhere boolean DEFAULT true
) RETURNS TABLE (risk_level text, score integer, reasons text[])
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* How dangerous an event is that happens now, from what the audit knows. Points are added up: from 20 on it is
   medium, from 40 high, from 70 critical.
     10  it failed
     20  it is of a kind that opens doors or carries data out (the list below)
     20  3 failures of this user within 15 minutes, 40 from the 10th on
     20  5 failures from this address within 15 minutes, for whatever organization, 40 from the 20th on
     20  they were failures of 5 or more users: one password tried on many
     40  it succeeded after 5 or more failures of this user: a guess that hit
     15  this user succeeded before in 90 days, but never from this address
     10  it is night (0 to 5 o'clock) where the organization is
   With p_everywhere false only events of this organization count, so that the answer can be shown to it; of the
   platform (NULL) none do.
   A set of rules that anybody can read and argue with, no model: it finds guessing and strange places, not a thief
   who behaves like the owner. Raises GC300 for NULL in p_event_type, p_success or
   p_everywhere. */
#variable_conflict use_column
DECLARE
    -- NULL is no row's: without any organization there is nothing that this one may know.
    v_organization_id constant uuid := CASE
        WHEN p_everywhere THEN coalesce(p_organization_id, '00000000-0000-0000-0000-000000000000')
        ELSE p_organization_id
    END;
    v_now constant timestamptz := clock_timestamp();
    v_user_failures bigint;
    v_address_failures bigint;
    v_address_users bigint;
    v_hour integer;
BEGIN
    PERFORM internal.require_given(
        jsonb_build_object('p_event_type', p_event_type, 'p_success', p_success, 'p_everywhere', p_everywhere)
    );
    -- At most 100 of each are counted: an attack must not make its own detection slow.
    SELECT count(*) INTO v_user_failures
    FROM (
        SELECT FROM public.communication_security_audit AS audit
        WHERE
            audit.organization_id = v_organization_id AND audit.user_id = p_user_id AND NOT audit.success
            AND audit.created_at > v_now - interval '15 minutes'
        LIMIT 100
    ) AS failure;
    SELECT count(*), count(DISTINCT failure.user_id) INTO v_address_failures, v_address_users
    FROM (
        SELECT audit.user_id FROM public.communication_security_audit AS audit
        WHERE
            audit.ip_address = p_ip_address AND NOT audit.success
            AND (p_everywhere OR audit.organization_id = v_organization_id)
            AND audit.created_at > v_now - interval '15 minutes'
        LIMIT 100
    ) AS failure;
    SELECT extract(HOUR FROM v_now AT TIME ZONE organization.time_zone)::integer INTO v_hour
    FROM public.organizations AS organization WHERE organization.organization_id = v_organization_id;

    SELECT coalesce(sum(fact.points), 0)::integer, coalesce(array_agg(fact.reason ORDER BY fact.place), '{}')
    INTO score, reasons
    FROM (
        VALUES
        (1, NOT p_success, 10, 'it failed'),
        (
            2, p_event_type IN (
                'permission_denied', 'cross_tenant_access', 'data_export', 'data_erasure', 'key_change',
                'key_rotation', 'login_binding', 'configuration_change'
            ), 20, 'it opens doors or carries data out'
        ),
        (3, v_user_failures >= 3, 20, 'failures of this user'),
        (4, v_user_failures >= 10, 20, 'many failures of this user'),
        (5, v_address_failures >= 5, 20, 'failures from this address'),
        (6, v_address_failures >= 20, 20, 'many failures from this address'),
        (7, v_address_users >= 5, 20, 'failures of several users from this address'),
        (8, p_success AND v_user_failures >= 5, 40, 'success after failures'),
        (
            9, p_ip_address IS NOT NULL AND EXISTS (
                SELECT FROM public.communication_security_audit AS audit
                WHERE
                    audit.organization_id = v_organization_id AND audit.user_id = p_user_id AND audit.success
                    AND audit.created_at > v_now - interval '90 days'
            ) AND NOT EXISTS (
                SELECT FROM public.communication_security_audit AS audit
                WHERE
                    audit.organization_id = v_organization_id AND audit.user_id = p_user_id AND audit.success
                    AND audit.ip_address = p_ip_address AND audit.created_at > v_now - interval '90 days'
            ), 15, 'a new address'
        ),
        (10, v_hour < 5, 10, 'at night')
    ) AS fact (place, holds, points, reason)
    WHERE fact.holds;
    risk_level := CASE
        WHEN score >= 70 THEN 'critical' WHEN score >= 40 THEN 'high' WHEN score >= 20 THEN 'medium' ELSE 'low'
    END;
    RETURN NEXT;
END
$plpgsql$;

COMMENT ON FUNCTION public.assess_risk(uuid, text, text, inet, boolean, boolean) IS
'How dangerous an event is that happens now: level, score and the reasons for it.';
REVOKE ALL ON FUNCTION public.assess_risk(uuid, text, text, inet, boolean, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.assess_risk(uuid, text, text, inet, boolean, boolean) TO comms_ops, comms_owner;
