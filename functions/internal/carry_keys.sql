SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION internal.carry_keys(p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* For apply_protective_facts(): keys that were destroyed are destroyed here, too: a restore does not undo an erasure.
   Returns how many were. */
DECLARE
    v_changed bigint;
BEGIN
    UPDATE public.communication_encryption_keys AS key
    SET
        state = 'destroyed', encrypted_key = NULL, destroyed_at = fact.destroyed_at,
        retired_at = coalesce(key.retired_at, fact.retired_at)
    FROM jsonb_populate_recordset(NULL::public.communication_encryption_keys, p_facts) AS fact
    WHERE
        key.organization_id = fact.organization_id AND key.key_id = fact.key_id AND key.key_type = 'data'
        AND key.state <> 'destroyed';
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.carry_keys(jsonb) IS
'Facts for a restored database: keys of organizations that are destroyed.';
REVOKE ALL ON FUNCTION internal.carry_keys(jsonb) FROM PUBLIC;
