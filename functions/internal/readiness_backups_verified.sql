CREATE OR REPLACE FUNCTION internal.readiness_backups_verified(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Every file in the repository was read within eight days and is what was stored. */
DECLARE
    v_ended_at timestamptz;
    v_verdict text;
    v_findings bigint;
    v_first text;
BEGIN
    SELECT verification.ended_at, verification.verdict, jsonb_array_length(verification.evidence -> 'findings'),
        verification.evidence #>> '{findings,0,what}'
    INTO v_ended_at, v_verdict, v_findings, v_first
    FROM public.communication_backup_checks AS verification
    WHERE verification.kind = 'verification' AND verification.status = 'completed'
    ORDER BY verification.ended_at DESC LIMIT 1;
    SELECT
        CASE
            WHEN v_verdict = 'damaged' THEN 'fail'
            WHEN v_ended_at IS NULL OR v_ended_at < now() - interval '8 days' THEN 'unknown'
            ELSE 'pass'
        END,
        CASE
            WHEN v_ended_at IS NULL THEN 'never verified'
            ELSE format('%s, %s findings', v_ended_at, v_findings) || coalesce(': ' || v_first, '')
        END,
        'verified within 8 days, no finding',
        'Run `guestcomms backup verify`; what it names damaged cannot be restored: take a full backup at once.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_backups_verified() IS
'Readiness: every file in the backup repository was read lately and is what was stored.';
REVOKE ALL ON FUNCTION internal.readiness_backups_verified() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_backups_verified() TO comms_ops, comms_monitor;
