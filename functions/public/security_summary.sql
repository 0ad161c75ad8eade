CREATE OR REPLACE FUNCTION public.security_summary(p_interval interval DEFAULT '24 hours')
RETURNS TABLE (
    risk_level text, event_type text, success boolean, events bigint, organizations bigint, users bigint,
    addresses bigint, first_at timestamptz, last_at timestamptz
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The audit of the last hours or days, the most dangerous first.
   Raises GC452 for NULL or an interval that is not positive. */
BEGIN
    IF p_interval IS NULL OR p_interval <= interval '0' THEN
        RAISE EXCEPTION 'p_interval is %', coalesce(p_interval::text, 'NULL')
        USING ERRCODE = 'GC452', HINT = 'Give the time to look back, such as interval ''24 hours''.';
    END IF;
    RETURN QUERY
    SELECT
        audit.risk_level, audit.event_type, audit.success, count(*),
        count(DISTINCT nullif(audit.organization_id, '00000000-0000-0000-0000-000000000000')),
        count(DISTINCT (audit.organization_id, audit.user_id)) FILTER (WHERE audit.user_id IS NOT NULL),
        count(DISTINCT audit.ip_address), min(audit.created_at), max(audit.created_at)
    FROM public.communication_security_audit AS audit
    WHERE audit.created_at > now() - p_interval
    GROUP BY audit.risk_level, audit.event_type, audit.success
    ORDER BY audit.risk_level DESC, count(*) DESC, audit.event_type, audit.success;
END
$plpgsql$;

COMMENT ON FUNCTION public.security_summary(interval) IS
'The security audit of the last hours or days, the most dangerous first.';
REVOKE ALL ON FUNCTION public.security_summary(interval) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.security_summary(interval) TO comms_ops, comms_auditor;
