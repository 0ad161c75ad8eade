CREATE OR REPLACE FUNCTION internal.finish_idempotent(p_organization_id uuid, p_key text, p_response jsonb)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Keep the answer of the call that began with begin_idempotent(), in the same transaction: what is repeated
   later gets it. Without a key nothing is kept. */
BEGIN
    IF p_key IS NOT NULL THEN
        UPDATE public.communication_idempotency AS used SET response = p_response
        WHERE used.organization_id = p_organization_id AND used.idempotency_key = p_key;
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.finish_idempotent(uuid, text, jsonb) IS
'Keep the answer of a call with an idempotency key.';
REVOKE ALL ON FUNCTION internal.finish_idempotent(uuid, text, jsonb) FROM PUBLIC;
