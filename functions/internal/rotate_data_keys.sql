SET LOCAL ROLE comms_maintenance; -- it sees the keys of every tenant
CREATE OR REPLACE FUNCTION internal.rotate_data_keys(p_before timestamptz, p_limit integer) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Give organizations whose key of fields has been active since p_before or longer a new one; the old one still
   decrypts. Returns how many, at most p_limit. Rows that another call has in hand are left to it. */
DECLARE
    v_made bigint;
BEGIN
    WITH old AS MATERIALIZED (
        SELECT one.organization_id, one.key_id
        FROM public.communication_encryption_keys AS one
        WHERE
            one.key_type = 'data' AND one.purpose = 'fields' AND one.state = 'active'
            AND one.activated_at <= p_before
        ORDER BY one.organization_id, one.key_id
        LIMIT p_limit
        FOR NO KEY UPDATE SKIP LOCKED
    ), retired AS (
        UPDATE public.communication_encryption_keys AS one
        SET state = 'decrypt_only', retired_at = clock_timestamp()
        FROM old
        WHERE one.organization_id = old.organization_id AND one.key_id = old.key_id
        RETURNING one.organization_id, one.purpose, one.key_version
    )

    SELECT count(internal.make_data_key(retired.organization_id, retired.purpose, retired.key_version + 1))
    INTO v_made
    FROM retired;
    RETURN v_made;
END
$plpgsql$;

COMMENT ON FUNCTION internal.rotate_data_keys(timestamptz, integer) IS
'Give organizations whose key of fields is older a new one; the old one still decrypts.';
REVOKE ALL ON FUNCTION internal.rotate_data_keys(timestamptz, integer) FROM PUBLIC;
