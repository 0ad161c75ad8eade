CREATE OR REPLACE FUNCTION internal.data_key(
    p_organization_id uuid, p_purpose text, OUT key bytea, OUT key_version integer
) RETURNS record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The active key of an organization for a purpose, opened; made when it is needed first.
   It reads with the rights of its caller: a function of comms_owner gets keys of the organization that was
   entered, one of comms_maintenance those of all.
   Raises GC300 for NULL, GC211, GC202 or GC203 if it cannot be opened, 40001 if another transaction made it
   and this one cannot see it. */
DECLARE
    v_row public.communication_encryption_keys;
BEGIN
    IF p_organization_id IS NULL OR p_purpose IS NULL THEN
        RAISE EXCEPTION '% is NULL', CASE WHEN p_purpose IS NULL THEN 'p_purpose' ELSE 'p_organization_id' END
        USING ERRCODE = 'GC300', HINT = 'Name the organization and what the key is for.';
    END IF;
    FOR v_try IN 1 .. 2 LOOP
        SELECT active.* INTO v_row
        FROM public.communication_encryption_keys AS active
        WHERE
            active.organization_id = p_organization_id AND active.key_type = 'data'
            AND active.purpose = p_purpose AND active.state = 'active';
        IF FOUND THEN
            key := internal.aes256_gcm_decrypt(
                internal.master_key(v_row.parent_key_id), v_row.encrypted_key,
                internal.key_context(p_organization_id, v_row.key_id, 'data', p_purpose, v_row.key_version)
            );
            key_version := v_row.key_version;
            RETURN;
        END IF;
        PERFORM internal.make_data_key(p_organization_id, p_purpose, coalesce(max(older.key_version), 0) + 1)
        FROM public.communication_encryption_keys AS older
        WHERE
            older.organization_id = p_organization_id AND older.key_type = 'data' AND older.purpose = p_purpose;
    END LOOP;
    RAISE EXCEPTION 'the key "%" of organization % was made by another transaction', p_purpose, p_organization_id
    USING ERRCODE = 'serialization_failure', HINT = 'Repeat the transaction.';
END
$plpgsql$;

COMMENT ON FUNCTION internal.data_key(uuid, text) IS
'The active key of an organization for a purpose, opened; made when it is needed first.';
REVOKE ALL ON FUNCTION internal.data_key(uuid, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.data_key(uuid, text) TO comms_maintenance;
