SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION internal.carry_suppressions(p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* For apply_protective_facts(): addresses that get nothing more. Of two suppressions of an address the wider and the
   longer counts. What is queued for them is suppressed when it is claimed. Returns how many are new or wider. */
DECLARE
    v_changed bigint;
BEGIN
    INSERT INTO public.suppressions AS known (
        organization_id, channel, address_hash, scope, reason, recipient_id, note, created_at, created_by, expires_at
    )
    SELECT
        fact.organization_id, fact.channel, fact.address_hash, fact.scope, fact.reason, fact.recipient_id, fact.note,
        fact.created_at, fact.created_by, fact.expires_at
    FROM jsonb_populate_recordset(NULL::public.suppressions, p_facts) AS fact
    JOIN public.organizations AS organization ON organization.organization_id = fact.organization_id
    ORDER BY fact.organization_id, fact.channel, fact.address_hash
    ON CONFLICT ON CONSTRAINT suppressions_pkey DO UPDATE
    SET
        scope = CASE excluded.scope WHEN 'all' THEN 'all' ELSE known.scope END,
        expires_at = CASE
            WHEN num_nonnulls(known.expires_at, excluded.expires_at) = 2
                THEN greatest(known.expires_at, excluded.expires_at)
        END
    WHERE
        known.scope <> 'all' AND excluded.scope = 'all'
        OR known.expires_at < coalesce(excluded.expires_at, 'infinity');
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.carry_suppressions(jsonb) IS
'Facts for a restored database: addresses that get nothing more.';
REVOKE ALL ON FUNCTION internal.carry_suppressions(jsonb) FROM PUBLIC;
