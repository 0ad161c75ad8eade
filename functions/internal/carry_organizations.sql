SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION internal.carry_organizations(p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* For apply_protective_facts(): organizations that are suspended or closed are so here, too. None is opened. Returns how
   many changed. */
DECLARE
    v_changed bigint;
BEGIN
    UPDATE public.organizations AS organization
    SET state = fact.state
    FROM jsonb_populate_recordset(NULL::public.organizations, p_facts) AS fact
    WHERE
        organization.organization_id = fact.organization_id AND organization.state <> fact.state
        AND organization.state <> 'closed';
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.carry_organizations(jsonb) IS
'Facts for a restored database: organizations that are suspended or closed.';
REVOKE ALL ON FUNCTION internal.carry_organizations(jsonb) FROM PUBLIC;
