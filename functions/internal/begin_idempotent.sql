CREATE OR REPLACE FUNCTION internal.begin_idempotent(
    p_organization_id uuid, p_key text, p_operation text, p_request_hash bytea
) RETURNS jsonb
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Take an idempotency key for the rest of the transaction. NULL: the caller is the first, goes on and ends
   with finish_idempotent(); otherwise the answer that the first one got. A concurrent caller waits here until
   the first one has committed, or takes its place if that failed. Without a key nothing is kept: NULL.
   Raises GC340 for a key that was used with another request, GC341 for one that is too long. */
DECLARE
    v_before public.communication_idempotency;
BEGIN
    IF p_key IS NULL THEN
        RETURN NULL;
    END IF;
    IF length(p_key) NOT BETWEEN 1 AND 200 THEN
        RAISE EXCEPTION 'an idempotency key has 1 to 200 characters, this one has %', length(p_key)
        USING ERRCODE = 'GC341', HINT = 'Take a UUID, or NULL to do without.';
    END IF;
    INSERT INTO public.communication_idempotency (organization_id, idempotency_key, operation, request_hash)
    VALUES (p_organization_id, p_key, p_operation, p_request_hash)
    ON CONFLICT (organization_id, idempotency_key) DO NOTHING;
    IF FOUND THEN
        RETURN NULL;
    END IF;
    SELECT used.* INTO STRICT v_before
    FROM public.communication_idempotency AS used
    WHERE used.organization_id = p_organization_id AND used.idempotency_key = p_key;
    IF (v_before.operation, v_before.request_hash) <> (p_operation, p_request_hash) THEN
        RAISE EXCEPTION 'idempotency key "%" was used at % for another request, to %',
            p_key, v_before.created_at, v_before.operation
        USING ERRCODE = 'GC340', HINT = 'Retry with exactly the values of the first call, or take a new key.';
    END IF;
    RETURN v_before.response;
END
$plpgsql$;

COMMENT ON FUNCTION internal.begin_idempotent(uuid, text, text, bytea) IS
'Take an idempotency key: NULL for the first caller, the first one''s answer for every other.';
REVOKE ALL ON FUNCTION internal.begin_idempotent(uuid, text, text, bytea) FROM PUBLIC;
