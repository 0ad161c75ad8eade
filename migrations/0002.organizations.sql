-- Organizations, and which login may act for which of them.
-- The tenant setting alone must open nothing: row security asks these bindings.
-- Locks: none, everything is new.
CREATE FUNCTION internal.uuid_v7() RETURNS uuid
LANGUAGE sql VOLATILE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* A UUIDv7 (RFC 9562): 48 bits of milliseconds, then random, so that new keys are neighbours in
       the index. Frozen here because a column default uses it; PostgreSQL 18 brings its own. */
    SELECT encode(
        set_bit(
            set_bit(
                overlay(
                    uuid_send(gen_random_uuid())
                    PLACING substring(int8send((extract(EPOCH FROM clock_timestamp()) * 1000)::bigint) FROM 3)
                    FROM 1 FOR 6
                ),
                52, 1
            ),
            53, 1
        ),
        'hex'
    )::uuid
$sql$;
COMMENT ON FUNCTION internal.uuid_v7() IS 'A new UUIDv7: random, ordered by time of creation.';
REVOKE ALL ON FUNCTION internal.uuid_v7() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.uuid_v7() TO comms_maintenance;

CREATE TABLE public.organizations (
    organization_id uuid PRIMARY KEY DEFAULT internal.uuid_v7(),
    name text NOT NULL CHECK (pg_catalog.length(name) BETWEEN 1 AND 200),
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'suspended', 'closed')),
    time_zone text NOT NULL DEFAULT 'UTC' CHECK (pg_catalog.length(time_zone) BETWEEN 1 AND 64),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now()
);
ALTER TABLE public.organizations ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.organizations FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.organizations IS
'The tenants. Made by create_organization(); a tenant sees its own row only.';
COMMENT ON COLUMN public.organizations.organization_id IS 'The tenant key, first column of every tenant table.';
COMMENT ON COLUMN public.organizations.name IS 'Its name, for people.';
COMMENT ON COLUMN public.organizations.state IS 'active; suspended: nothing is sent; closed: kept for its records.';
COMMENT ON COLUMN public.organizations.time_zone IS 'IANA name; quiet hours and sending windows are meant in it.';
COMMENT ON COLUMN public.organizations.created_at IS 'When it was made.';

CREATE TABLE internal.organization_logins (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id) ON DELETE CASCADE,
    login name NOT NULL,
    bound_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    bound_by name NOT NULL DEFAULT session_user,
    PRIMARY KEY (organization_id, login)
);
ALTER TABLE internal.organization_logins ENABLE ROW LEVEL SECURITY;
ALTER TABLE internal.organization_logins FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE internal.organization_logins IS
'Which login may act for which organization. app.organization_id opens nothing without a row here.';
COMMENT ON COLUMN internal.organization_logins.organization_id IS 'The organization that may be entered.';
COMMENT ON COLUMN internal.organization_logins.login IS 'The login role, compared with session_user.';
COMMENT ON COLUMN internal.organization_logins.bound_at IS 'When it was bound.';
COMMENT ON COLUMN internal.organization_logins.bound_by IS 'The login that bound it.';

CREATE TABLE internal.unrestricted_logins (
    login name PRIMARY KEY,
    reason text NOT NULL CHECK (pg_catalog.length(reason) BETWEEN 1 AND 500),
    bound_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    bound_by name NOT NULL DEFAULT session_user
);

COMMENT ON TABLE internal.unrestricted_logins IS
'Logins that may enter every organization, one at a time: workers, which serve all tenants.';
COMMENT ON COLUMN internal.unrestricted_logins.login IS 'The login role, compared with session_user.';
COMMENT ON COLUMN internal.unrestricted_logins.reason IS 'Why it is not bound to single organizations.';
COMMENT ON COLUMN internal.unrestricted_logins.bound_at IS 'When it was given.';
COMMENT ON COLUMN internal.unrestricted_logins.bound_by IS 'The login that gave it.';
