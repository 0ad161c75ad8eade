CREATE OR REPLACE FUNCTION internal.expire_backups(p_labels_present text[]) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Mark what retention has removed: completed backups whose label the repository no longer lists
   become expired, and one that it lists again is completed again. Returns how many rows changed.
   A backup completed within the last minute is left alone: the list may be older than it.
   Raises GC104 for NULL, which is no list. */
DECLARE
    v_changed bigint;
BEGIN
    IF p_labels_present IS NULL THEN
        RAISE EXCEPTION 'the labels in the repository are not given'
        USING ERRCODE = 'GC104', HINT = 'Give an array; an empty one means that the repository is empty.';
    END IF;
    UPDATE public.communication_backups AS listed
    SET status = CASE WHEN listed.label = ANY (p_labels_present) THEN 'completed' ELSE 'expired' END
    WHERE
        (listed.status = 'expired' AND listed.label = ANY (p_labels_present))
        OR (
            listed.status = 'completed' AND listed.label <> ALL (p_labels_present)
            AND listed.completed_at < clock_timestamp() - interval '1 minute'
        );
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.expire_backups(text[]) IS
'Mark completed backups that the repository no longer lists as expired.';
REVOKE ALL ON FUNCTION internal.expire_backups(text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.expire_backups(text[]) TO comms_agent;
