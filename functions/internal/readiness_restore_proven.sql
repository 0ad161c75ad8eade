CREATE OR REPLACE FUNCTION internal.readiness_restore_proven(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* A backup counts when it was restored, to a known point, and the copy was compared: by a drill of the last 48 hours
   that made its own point. One to another target, or for a table, compares no content and proves nothing; but any that
   refuted its backup since then counts more. As long as there was none at all, the answer is unknown. */
DECLARE
    v_last public.communication_restore_drills;
    v_proven_at timestamptz;
BEGIN
    SELECT drill.* INTO v_last
    FROM public.communication_restore_drills AS drill
    WHERE drill.completed_at IS NOT NULL
    ORDER BY drill.completed_at DESC LIMIT 1;
    SELECT max(drill.completed_at) INTO v_proven_at
    FROM public.communication_restore_drills AS drill
    WHERE drill.verdict = 'proven' AND drill.target_type = 'point';
    SELECT
        CASE
            WHEN v_last.drill_id IS NULL THEN 'unknown'
            WHEN EXISTS (
                SELECT FROM public.communication_restore_drills AS drill
                WHERE drill.verdict = 'refuted' AND drill.completed_at >= coalesce(v_proven_at, '-infinity')
            ) THEN 'fail'
            WHEN v_proven_at > now() - interval '48 hours' THEN 'pass'
            ELSE 'fail'
        END,
        coalesce('proven ' || v_proven_at::text, 'never proven')
        || coalesce('; the last drill: ' || coalesce(v_last.verdict, v_last.status), ''),
        'a restore proven within 48 hours, none refuted since',
        'Run `guestcomms restore drill`, and see what it found with `guestcomms restore show`.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_restore_proven() IS 'Readiness: a backup was restored lately.';
REVOKE ALL ON FUNCTION internal.readiness_restore_proven() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_restore_proven() TO comms_ops, comms_monitor;
