CREATE OR REPLACE FUNCTION internal.document_cluster_restore(p_restore_id text, p_evidence jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Keep the document of a restore of the cluster that is done: what, verdict, node, versions, times of its steps. Again
   replaces it. Raises GC146 if there is no such restore. */
BEGIN
    UPDATE public.communication_cluster_restores AS done
    SET evidence = p_evidence
    WHERE done.restore_id = p_restore_id;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this database does not come from restore "%"', p_restore_id
        USING ERRCODE = 'GC146', HINT = 'guestcomms restore cluster --status names the one that is under way.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.document_cluster_restore(text, jsonb) IS
'Keep the document of a restore of the cluster that is done.';
REVOKE ALL ON FUNCTION internal.document_cluster_restore(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.document_cluster_restore(text, jsonb) TO comms_agent;
