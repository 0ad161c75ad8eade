SET LOCAL ROLE comms_maintenance; -- nobody is bound to an organization before it exists
CREATE OR REPLACE FUNCTION public.create_organization(
    p_organization_id uuid, p_name text, p_time_zone text DEFAULT 'UTC', p_logins name[] DEFAULT '{}'
) RETURNS public.organizations
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Make an organization and bind logins to it.
   p_organization_id is the idempotency key: a repeated call with the same values returns the row it
   made, one with other values raises GC004. NULL makes a new id, and then a retry makes a second one.
   Raises GC005 for a time zone that PostgreSQL does not know, GC002 for an unknown login, GC006 for
   the nil UUID. */
DECLARE
    v_organization public.organizations;
    v_login name;
BEGIN
    IF p_organization_id = '00000000-0000-0000-0000-000000000000' THEN
        RAISE EXCEPTION 'the nil UUID is no organization'
        USING ERRCODE = 'GC006', HINT = 'Rows of the platform itself carry it. Take another id, or NULL for a new one.';
    END IF;
    IF NOT EXISTS (SELECT FROM pg_timezone_names WHERE name = p_time_zone) THEN
        RAISE EXCEPTION 'there is no time zone "%"', p_time_zone
        USING ERRCODE = 'GC005', HINT = 'Give an IANA name such as Europe/Berlin, or UTC.';
    END IF;
    INSERT INTO public.organizations (organization_id, name, time_zone)
    VALUES (coalesce(p_organization_id, internal.uuid_v7()), p_name, p_time_zone)
    ON CONFLICT (organization_id) DO NOTHING
    RETURNING * INTO v_organization;
    IF v_organization.organization_id IS NULL THEN
        SELECT existing.* INTO STRICT v_organization
        FROM public.organizations AS existing WHERE existing.organization_id = p_organization_id;
    END IF;
    IF (v_organization.name, v_organization.time_zone) <> (p_name, p_time_zone) THEN
        RAISE EXCEPTION 'organization % exists as "%" in time zone %',
            p_organization_id, v_organization.name, v_organization.time_zone
        USING ERRCODE = 'GC004', HINT = 'Retry with the values of the first call, or take a new id.';
    END IF;
    FOREACH v_login IN ARRAY p_logins LOOP
        PERFORM public.bind_login(v_organization.organization_id, v_login);
    END LOOP;
    RETURN v_organization;
END
$plpgsql$;

COMMENT ON FUNCTION public.create_organization(uuid, text, text, name[]) IS
'Make an organization and bind logins to it; the id is the idempotency key.';
REVOKE ALL ON FUNCTION public.create_organization(uuid, text, text, name[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.create_organization(uuid, text, text, name[]) TO comms_ops;
