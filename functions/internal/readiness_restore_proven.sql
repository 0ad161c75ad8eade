CREATE OR REPLACE FUNCTION internal.readiness_restore_proven(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* A backup counts when it was restored. Nothing here can prove that but a drill on another machine:
   as long as none has, the answer is unknown. */
DECLARE
    v_verified_at timestamptz;
BEGIN
    SELECT max(proof.verified_at) INTO v_verified_at
    FROM (
        SELECT backup.verified_at FROM public.communication_backups AS backup
        UNION ALL
        SELECT point.verified_at FROM public.communication_recovery_points AS point
    ) AS proof;
    SELECT
        CASE
            WHEN v_verified_at IS NULL THEN 'unknown'
            WHEN v_verified_at > now() - interval '8 days' THEN 'pass'
            ELSE 'warn'
        END,
        coalesce(v_verified_at::text, 'never restored'),
        'a restore proven within 8 days',
        'Restore the newest backup on the drill machine and compare its rows.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_restore_proven() IS 'Readiness: a backup was restored lately.';
REVOKE ALL ON FUNCTION internal.readiness_restore_proven() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_restore_proven() TO comms_ops, comms_monitor;
