CREATE OR REPLACE FUNCTION internal.record_cluster_restore(p_restore jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Write down in a restored database that it is one, and that facts are due: thaw_sending() refuses until
   finish_cluster_restore(). Keys of p_restore are columns of communication_cluster_restores. Returns false, and changes
   nothing, if it is written down already. Raises GC368 unless sending is frozen, as it is from the first moment. */
BEGIN
    IF NOT (SELECT state.frozen FROM internal.sending_state AS state) THEN
        RAISE EXCEPTION 'sending is not frozen: this is no database that was just restored'
        USING ERRCODE = 'GC368', HINT = 'Somebody has thawed it; SELECT freeze_sending(''restored'') and look what was sent.';
    END IF;
    INSERT INTO public.communication_cluster_restores (
        restore_id, target_type, target, inclusive, label, reached_lsn, reached_time, abandoned_timeline, abandoned_at
    )
    SELECT
        given.restore_id, given.target_type, given.target, given.inclusive, given.label, given.reached_lsn,
        given.reached_time, given.abandoned_timeline, given.abandoned_at
    FROM jsonb_populate_record(NULL::public.communication_cluster_restores, p_restore) AS given
    ON CONFLICT DO NOTHING;
    IF NOT FOUND THEN
        RETURN false;
    END IF;
    UPDATE internal.sending_state AS state SET facts_due = true;
    RETURN true;
END
$plpgsql$;

COMMENT ON FUNCTION internal.record_cluster_restore(jsonb) IS
'Write down in a restored database that it is one, and that protective facts are due.';
REVOKE ALL ON FUNCTION internal.record_cluster_restore(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.record_cluster_restore(jsonb) TO comms_agent;
