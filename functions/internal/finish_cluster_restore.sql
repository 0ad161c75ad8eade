CREATE OR REPLACE FUNCTION internal.finish_cluster_restore(p_restore_id text, p_facts jsonb) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Write down that all protective facts of a restore are applied: thaw_sending() may be called from now on. p_facts says
   by kind how many were given and how many changed something. Returns false if they were applied before.
   Raises GC146 if there is no such restore. */
BEGIN
    UPDATE public.communication_cluster_restores AS done
    SET facts = p_facts, facts_applied_at = clock_timestamp()
    WHERE done.restore_id = p_restore_id AND done.facts_applied_at IS NULL;
    IF NOT FOUND THEN
        IF NOT EXISTS (
            SELECT FROM public.communication_cluster_restores AS known WHERE known.restore_id = p_restore_id
        ) THEN
            RAISE EXCEPTION 'this database does not come from restore "%"', p_restore_id
            USING ERRCODE = 'GC146', HINT = 'guestcomms restore cluster --status names the one that is under way.';
        END IF;
        RETURN false;
    END IF;
    UPDATE internal.sending_state AS state SET facts_due = false;
    RETURN true;
END
$plpgsql$;

COMMENT ON FUNCTION internal.finish_cluster_restore(text, jsonb) IS
'Write down that all protective facts of a restore are applied.';
REVOKE ALL ON FUNCTION internal.finish_cluster_restore(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.finish_cluster_restore(text, jsonb) TO comms_agent;
