CREATE OR REPLACE FUNCTION internal.complete_backup_check(
    p_check_id text, p_node text, p_attempt bigint, p_evidence jsonb
) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Record what a check found. p_evidence is its document; of its keys verdict is sound or damaged, findings an array,
   which is empty exactly where the verdict is sound, and figures an object of numbers.
   Repeating it changes nothing. Sound audits of the WAL go after 90 days: there is one each hour. Raises GC103 if this attempt does not have the check, GC104 if the document is of
   another form. */
BEGIN
    IF EXISTS (
        SELECT FROM public.communication_backup_checks AS done
        WHERE done.check_id = p_check_id AND done.node = p_node AND done.attempts = p_attempt
            AND done.status = 'completed'
    ) THEN
        RETURN;
    END IF;
    IF (
        p_evidence ->> 'verdict' IN ('sound', 'damaged')
        AND jsonb_typeof(p_evidence -> 'findings') = 'array' AND jsonb_typeof(p_evidence -> 'figures') = 'object'
        AND (p_evidence ->> 'verdict' = 'sound') = (p_evidence -> 'findings' = '[]')
        AND NOT p_evidence @? '$.figures.* ? (@.type() <> "number")'
    ) IS NOT TRUE THEN
        RAISE EXCEPTION 'the evidence of check % is not usable', p_check_id
        USING ERRCODE = 'GC104', HINT = 'Give verdict, findings (none if sound) and figures that are numbers.';
    END IF;
    UPDATE public.communication_backup_checks AS done
    SET status = 'completed', verdict = p_evidence ->> 'verdict', evidence = p_evidence,
        ended_at = clock_timestamp(), lease_until = NULL, error = NULL
    WHERE done.check_id = p_check_id AND done.node = p_node AND done.attempts = p_attempt
        AND done.status = 'running';
    IF NOT FOUND THEN
        RAISE EXCEPTION 'attempt % of check % is not running on %', p_attempt, p_check_id, p_node
        USING ERRCODE = 'GC103', HINT = 'Its lease ended and another attempt followed; this result is dropped.';
    END IF;
    DELETE FROM public.communication_backup_checks AS old
    WHERE old.kind = 'wal_audit' AND old.verdict = 'sound' AND old.ended_at < clock_timestamp() - interval '90 days';
END
$plpgsql$;

COMMENT ON FUNCTION internal.complete_backup_check(text, text, bigint, jsonb) IS
'Record what a running check of this machine found in the backup repository.';
REVOKE ALL ON FUNCTION internal.complete_backup_check(text, text, bigint, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.complete_backup_check(text, text, bigint, jsonb) TO comms_agent;
