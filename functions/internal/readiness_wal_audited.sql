CREATE OR REPLACE FUNCTION internal.readiness_wal_audited(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* No WAL segment is missing between the oldest full backup and now, as the audit of the last hours saw it. A hole before
   the newest backup takes away moments of the past: a warning. One after it takes away the present: a failure. */
DECLARE
    v_ended_at timestamptz;
    v_verdict text;
    v_latest_restorable bigint;
    v_findings bigint;
    v_first text;
BEGIN
    SELECT audit.ended_at, audit.verdict, (audit.evidence #>> '{figures,latest_restorable}')::bigint,
        jsonb_array_length(audit.evidence -> 'findings'), audit.evidence #>> '{findings,0,what}'
    INTO v_ended_at, v_verdict, v_latest_restorable, v_findings, v_first
    FROM public.communication_backup_checks AS audit
    WHERE audit.kind = 'wal_audit' AND audit.status = 'completed'
    ORDER BY audit.ended_at DESC LIMIT 1;
    SELECT
        CASE
            WHEN v_ended_at IS NULL OR v_ended_at < now() - interval '3 hours' THEN 'unknown'
            WHEN v_latest_restorable IS DISTINCT FROM 1 THEN 'fail'
            WHEN v_verdict <> 'sound' THEN 'warn'
            ELSE 'pass'
        END,
        CASE
            WHEN v_ended_at IS NULL THEN 'never audited'
            ELSE format('%s, %s findings', v_ended_at, v_findings) || coalesce(': ' || v_first, '')
        END,
        'audited within 3 hours, no finding',
        'Run `guestcomms backup audit-wal`; if WAL is missing after the newest backup, take a full one at once.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_wal_audited() IS
'Readiness: no WAL is missing between the oldest full backup and now.';
REVOKE ALL ON FUNCTION internal.readiness_wal_audited() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_wal_audited() TO comms_ops, comms_monitor;
