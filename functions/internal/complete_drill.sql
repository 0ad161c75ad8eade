CREATE OR REPLACE FUNCTION internal.complete_drill(
    p_drill_id text, p_node text, p_attempt bigint, p_result jsonb
) RETURNS text
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Record what a drill found, and return the verdict: proven if every finding passed, refuted otherwise. Keys of
   p_result: label, findings (array of {check, passed, detail}), reached_lsn, reached_time, archived_seconds,
   restore_seconds, recovery_seconds, total_seconds, restored_bytes; what was not reached is null. And evidence, the
   document of the run, which gets the verdict.
   What is proven makes its backup verified and its recovery point consistent: nothing else does. A restore of one
   table does neither: it does not look at every page.
   Raises GC103 if this attempt does not have the drill, GC152 if the values are not usable. */
DECLARE
    v_drill public.communication_restore_drills;
    v_problem text;
BEGIN
    UPDATE public.communication_restore_drills AS done
    SET status = 'completed', completed_at = clock_timestamp(), lease_until = NULL, error = NULL,
        verdict = judged.verdict, evidence = (p_result -> 'evidence') || jsonb_build_object('verdict', judged.verdict),
        findings = p_result -> 'findings', label = p_result ->> 'label',
        backup_id = (
            SELECT backup.backup_id FROM public.communication_backups AS backup
            WHERE backup.label = p_result ->> 'label'
        ),
        reached_lsn = (p_result ->> 'reached_lsn')::pg_lsn,
        reached_time = (p_result ->> 'reached_time')::timestamptz,
        archived_seconds = (p_result ->> 'archived_seconds')::double precision,
        restore_seconds = (p_result ->> 'restore_seconds')::double precision,
        recovery_seconds = (p_result ->> 'recovery_seconds')::double precision,
        total_seconds = (p_result ->> 'total_seconds')::double precision,
        restored_bytes = (p_result ->> 'restored_bytes')::bigint
    FROM (
        SELECT CASE
            WHEN bool_and(finding.value ->> 'passed' IS NOT DISTINCT FROM 'true') THEN 'proven' ELSE 'refuted'
        END AS verdict
        FROM jsonb_array_elements(p_result -> 'findings') AS finding
    ) AS judged
    WHERE done.drill_id = p_drill_id AND done.node = p_node AND done.attempts = p_attempt
        AND done.status = 'running'
    RETURNING done.* INTO v_drill;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of drill % is not running on %', p_attempt, p_drill_id, p_node
        USING ERRCODE = 'GC103', HINT = 'Its lease ended and another attempt followed; this result is dropped.';
    END IF;
    IF v_drill.verdict = 'proven' AND NOT EXISTS (
        SELECT FROM public.communication_table_restores AS carried WHERE carried.drill_id = v_drill.drill_id
    )
    THEN
        UPDATE public.communication_backups AS proven
        SET verified_at = v_drill.completed_at, verified_by = v_drill.drill_id
        WHERE proven.backup_id = v_drill.backup_id;
        UPDATE public.communication_recovery_points AS proven
        SET consistent = true, verified_at = v_drill.completed_at, verified_by = v_drill.drill_id
        WHERE proven.recovery_point_id = v_drill.recovery_point_id;
    END IF;
    RETURN v_drill.verdict;
EXCEPTION
    WHEN check_violation OR not_null_violation OR data_exception THEN
        GET STACKED DIAGNOSTICS v_problem = MESSAGE_TEXT;
        RAISE EXCEPTION 'the result of drill % is not usable: %', p_drill_id, v_problem
        USING ERRCODE = 'GC152', HINT = 'A proven drill has findings, a label, a position and its times.';
END
$plpgsql$;

COMMENT ON FUNCTION internal.complete_drill(text, text, bigint, jsonb) IS
'Record what a running drill of this machine found; what is proven becomes verified.';
REVOKE ALL ON FUNCTION internal.complete_drill(text, text, bigint, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.complete_drill(text, text, bigint, jsonb) TO comms_agent;
