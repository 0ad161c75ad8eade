CREATE OR REPLACE FUNCTION internal.document_undone_restore(p_evidence jsonb) RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Keep the document of a restore of the cluster that was undone, in the database that it left alone: restore_id, label
   and target (type, value, inclusive) are read from it. Again replaces it. Raises GC148 if this database comes from that
   restore. */
BEGIN
    INSERT INTO public.communication_cluster_restores AS known (
        restore_id, target_type, target, inclusive, label, undone_at, evidence
    )
    SELECT
        p_evidence ->> 'restore_id', target.type, target.value, target.inclusive, p_evidence ->> 'label',
        clock_timestamp(), p_evidence
    FROM jsonb_to_record(p_evidence -> 'target') AS target (type text, value text, inclusive boolean)
    ON CONFLICT (restore_id) DO UPDATE
    SET undone_at = excluded.undone_at, evidence = excluded.evidence
    WHERE known.undone_at IS NOT NULL;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'this database comes from restore "%", which so was not undone', p_evidence ->> 'restore_id'
        USING ERRCODE = 'GC148', HINT = 'guestcomms restore cluster --status says where it stands.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.document_undone_restore(jsonb) IS
'Keep the document of a restore of the cluster that was undone.';
REVOKE ALL ON FUNCTION internal.document_undone_restore(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.document_undone_restore(jsonb) TO comms_agent;
