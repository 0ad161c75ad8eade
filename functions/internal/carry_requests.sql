SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION internal.carry_requests(p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* For apply_protective_facts(): idempotency keys of communications that somebody has got: an application that repeats its
   request gets that communication again, not a new one. Returns how many are new. */
DECLARE
    v_changed bigint;
BEGIN
    INSERT INTO public.communication_idempotency (
        organization_id, idempotency_key, operation, request_hash, response, created_at
    )
    SELECT
        fact.organization_id, fact.idempotency_key, fact.operation, fact.request_hash, fact.response, fact.created_at
    FROM jsonb_populate_recordset(NULL::public.communication_idempotency, p_facts) AS fact
    JOIN public.organizations AS organization ON organization.organization_id = fact.organization_id
    ON CONFLICT DO NOTHING;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.carry_requests(jsonb) IS
'Facts for a restored database: idempotency keys that made communications somebody has got.';
REVOKE ALL ON FUNCTION internal.carry_requests(jsonb) FROM PUBLIC;
