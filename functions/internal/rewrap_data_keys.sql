SET LOCAL ROLE comms_maintenance; -- it sees the keys of every tenant
CREATE OR REPLACE FUNCTION internal.rewrap_data_keys(p_limit integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Wrap data keys that are under an older master again, under the active one: the keys stay, 60 bytes each change.
   Returns how many, at most p_limit. Rows that another call has in hand are left to it. */
DECLARE
    v_master constant text := internal.active_master();
    v_rewrapped bigint;
BEGIN
    WITH old AS MATERIALIZED (
        SELECT
            child.organization_id, child.key_id, child.parent_key_id, child.encrypted_key,
            internal.key_context(
                child.organization_id, child.key_id, child.key_type, child.purpose, child.key_version
            ) AS context
        FROM public.communication_encryption_keys AS child
        WHERE child.key_type = 'data' AND child.parent_key_id <> v_master AND child.state <> 'destroyed'
        ORDER BY child.organization_id, child.key_id
        LIMIT p_limit
        FOR NO KEY UPDATE SKIP LOCKED
    ), master AS MATERIALIZED (
        SELECT parent.parent_key_id, internal.master_key(parent.parent_key_id) AS key
        FROM (SELECT DISTINCT old.parent_key_id FROM old) AS parent
    ), newest AS MATERIALIZED (
        SELECT internal.master_key(v_master) AS key
    )

    UPDATE public.communication_encryption_keys AS child
    SET
        parent_key_id = v_master,
        encrypted_key = internal.aes256_gcm_encrypt(
            newest.key, internal.aes256_gcm_decrypt(master.key, old.encrypted_key, old.context), old.context
        )
    FROM old
    JOIN master ON master.parent_key_id = old.parent_key_id
    CROSS JOIN newest
    WHERE child.organization_id = old.organization_id AND child.key_id = old.key_id;
    GET DIAGNOSTICS v_rewrapped = ROW_COUNT;
    RETURN v_rewrapped;
END
$plpgsql$;

COMMENT ON FUNCTION internal.rewrap_data_keys(integer) IS
'Wrap data keys that are under an older master again, under the active one.';
REVOKE ALL ON FUNCTION internal.rewrap_data_keys(integer) FROM PUBLIC;
