SET LOCAL ROLE comms_maintenance; -- it sees the keys of every tenant
CREATE OR REPLACE FUNCTION public.rotate_encryption_keys(
    p_key_type text, p_older_than interval DEFAULT '1 day', p_limit integer DEFAULT 10000
) RETURNS TABLE (key_type text, new_keys bigint, rewrapped bigint, remaining bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Replace keys that have been active for longer than p_older_than, at most p_limit a call; no data is rewritten.
   'master': if the active master is that old, a new one replaces it; then data keys that are under an older master
   are wrapped again, under the active one. 'data': each organization gets a new key for its fields; the older one
   goes on opening what it encrypted, by the version that is stored there. Keys of address hashes stay for ever: of
   an erased guest nothing is left to compute another hash from. Keys of other purposes are their own functions'.
   Returns what was done and how many keys remain: call again until it is 0. An interrupted call changed nothing, a
   repeated one goes on where the last ended, two at once leave each other's rows alone.
   Raises GC213 for another type, GC214 for an interval or a limit that is none, GC202, GC203 or GC211 for a key
   that cannot be opened. */
#variable_conflict use_column
DECLARE
    v_before constant timestamptz := clock_timestamp() - p_older_than;
BEGIN
    IF p_key_type IS NULL OR p_key_type NOT IN ('master', 'data') THEN
        RAISE EXCEPTION 'keys of type % are not rotated here', quote_nullable(p_key_type)
        USING ERRCODE = 'GC213', HINT = 'Give master or data; the cipher of backups changes with their repository.';
    ELSIF p_older_than IS NULL OR p_older_than < interval '0' OR coalesce(p_limit, 0) < 1 THEN
        RAISE EXCEPTION 'older than % and limit % are no values to work with', p_older_than, p_limit
        USING ERRCODE = 'GC214', HINT = 'Give an interval from 0 on and a limit from 1 on.';
    END IF;
    key_type := p_key_type;
    new_keys := 0;
    rewrapped := 0;
    IF p_key_type = 'master' THEN
        new_keys := internal.rotate_master(v_before);
        rewrapped := internal.rewrap_data_keys(p_limit);
        SELECT count(*) INTO remaining
        FROM public.communication_encryption_keys AS child
        WHERE child.parent_key_id <> internal.active_master() AND child.state <> 'destroyed';
    ELSE
        new_keys := internal.rotate_data_keys(v_before, p_limit);
        SELECT count(*) INTO remaining
        FROM public.communication_encryption_keys AS old
        WHERE
            old.key_type = 'data' AND old.purpose = 'fields' AND old.state = 'active'
            AND old.activated_at <= v_before;
    END IF;
    IF new_keys + rewrapped > 0 THEN
        PERFORM internal.record_security_event(
            NULL, 'key_rotation', SESSION_USER, NULL, true, jsonb_build_object(
                'key_type', key_type, 'new_keys', new_keys, 'rewrapped', rewrapped, 'remaining', remaining
            )
        );
    END IF;
    RETURN NEXT;
END
$plpgsql$;

COMMENT ON FUNCTION public.rotate_encryption_keys(text, interval, integer) IS
'Replace keys that have been active for too long, without rewriting data; call again until nothing remains.';
REVOKE ALL ON FUNCTION public.rotate_encryption_keys(text, interval, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.rotate_encryption_keys(text, interval, integer) TO comms_ops;
