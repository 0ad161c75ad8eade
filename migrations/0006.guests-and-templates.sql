-- Guests and message templates: whom an organization writes to, and what.
-- The first tables of the messaging part.
-- Locks: none, everything is new.

-- Frozen here because constraints and partition bounds build on it.
CREATE FUNCTION internal.uuid_v7_time(p_id uuid) RETURNS timestamptz
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
RETURN pg_catalog.to_timestamp(
    ('x' || pg_catalog.left(pg_catalog.replace(p_id::text, '-', ''), 12))::bit(48)::bigint / 1000.0::double precision
);
COMMENT ON FUNCTION internal.uuid_v7_time(uuid) IS
'The moment in a UUIDv7, in milliseconds: a key alone tells in which partition its row is.';
REVOKE ALL ON FUNCTION internal.uuid_v7_time(uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.uuid_v7_time(uuid)
TO comms_app, comms_worker, comms_ops, comms_maintenance, comms_auditor;

CREATE TABLE public.guests (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    guest_id uuid NOT NULL DEFAULT internal.uuid_v7(),
    external_id text CHECK (pg_catalog.length(external_id) BETWEEN 1 AND 200),
    name text CHECK (pg_catalog.length(name) BETWEEN 1 AND 200),
    email text CHECK (pg_catalog.length(email) BETWEEN 3 AND 254),
    phone text CHECK (phone ~ '^\+[1-9][0-9]{6,14}$'),
    push_token text CHECK (pg_catalog.length(push_token) BETWEEN 1 AND 4096),
    email_hash bytea CHECK (pg_catalog.length(email_hash) = 32),
    phone_hash bytea CHECK (pg_catalog.length(phone_hash) = 32),
    push_hash bytea CHECK (pg_catalog.length(push_hash) = 32),
    name_search text COLLATE "C" GENERATED ALWAYS AS (pg_catalog.lower(name)) STORED,
    email_search text COLLATE "C" GENERATED ALWAYS AS (pg_catalog.lower(email)) STORED,
    language text CHECK (language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'),
    time_zone text CHECK (pg_catalog.length(time_zone) BETWEEN 1 AND 64),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    erased_at timestamptz,
    PRIMARY KEY (organization_id, guest_id),
    UNIQUE (organization_id, external_id),
    CONSTRAINT guests_hashes CHECK (
        (email IS NULL OR email_hash IS NOT NULL)
        AND (phone IS NULL OR phone_hash IS NOT NULL)
        AND (push_token IS NULL OR push_hash IS NOT NULL)
    ),
    CONSTRAINT guests_named_until_erased CHECK (erased_at IS NOT NULL OR name IS NOT NULL),
    CONSTRAINT guests_erased CHECK (
        erased_at IS NULL
        OR pg_catalog.num_nonnulls(
            external_id, name, email, phone, push_token, email_hash, phone_hash, push_hash, language, time_zone
        ) = 0
    )
);
ALTER TABLE public.guests ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.guests FORCE ROW LEVEL SECURITY;
-- For search_guests(): prefixes of name and address, one page at a time in their order.
CREATE INDEX guests_name_search ON public.guests (organization_id, name_search, guest_id);
CREATE INDEX guests_email_search ON public.guests (organization_id, email_search, guest_id);
-- Whoever unsubscribes, withdraws or bounces is known by the hash of an address.
CREATE INDEX guests_email_hash ON public.guests (organization_id, email_hash) WHERE email_hash IS NOT NULL;
CREATE INDEX guests_phone_hash ON public.guests (organization_id, phone_hash) WHERE phone_hash IS NOT NULL;

COMMENT ON TABLE public.guests IS
'The people an organization writes to. Never deleted: erase_guest() leaves an anonymous row for the counts.';
COMMENT ON COLUMN public.guests.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.guests.guest_id IS 'The guest, a UUIDv7.';
COMMENT ON COLUMN public.guests.external_id IS 'The application''s own key: upsert_guests() recognises a guest by it.';
COMMENT ON COLUMN public.guests.name IS 'Full name as it is to be written; NULL once erased.';
COMMENT ON COLUMN public.guests.email IS 'E-mail address as given, without surrounding blanks.';
COMMENT ON COLUMN public.guests.phone IS 'Telephone number in E.164, for SMS.';
COMMENT ON COLUMN public.guests.push_token IS 'Token of the device for push messages.';
COMMENT ON COLUMN public.guests.email_hash IS
'Keyed hash of the normalised address; joins with suppressions and consent.';
COMMENT ON COLUMN public.guests.phone_hash IS 'Keyed hash of the number.';
COMMENT ON COLUMN public.guests.push_hash IS 'Keyed hash of the token.';
COMMENT ON COLUMN public.guests.name_search IS 'The name in small letters, for prefix search.';
COMMENT ON COLUMN public.guests.email_search IS 'The address in small letters, for prefix search.';
COMMENT ON COLUMN public.guests.language IS 'BCP 47 language tag.';
COMMENT ON COLUMN public.guests.time_zone IS
'IANA name; NULL: the organization''s. Quiet hours and windows are meant in it.';
COMMENT ON COLUMN public.guests.created_at IS 'When the guest was first given.';
COMMENT ON COLUMN public.guests.updated_at IS 'When anything of it last changed.';
COMMENT ON COLUMN public.guests.erased_at IS 'When erase_guest() made the row anonymous.';

CREATE TABLE public.message_templates (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    template_id uuid NOT NULL DEFAULT internal.uuid_v7(),
    name text NOT NULL CHECK (pg_catalog.length(name) BETWEEN 1 AND 200),
    channel text NOT NULL CHECK (channel IN ('email', 'sms', 'push', 'in_app')),
    published_version integer CHECK (published_version >= 1),
    archived_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (organization_id, template_id),
    UNIQUE (organization_id, name)
);
ALTER TABLE public.message_templates ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.message_templates FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.message_templates IS 'Named templates of an organization; their texts are versions.';
COMMENT ON COLUMN public.message_templates.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.message_templates.template_id IS 'The template, a UUIDv7.';
COMMENT ON COLUMN public.message_templates.name IS 'Its name, unique in the organization.';
COMMENT ON COLUMN public.message_templates.channel IS 'email, sms, push or in_app: decides how values are escaped.';
COMMENT ON COLUMN public.message_templates.published_version IS
'The version that new communications pin; NULL until publish_template() has accepted one.';
COMMENT ON COLUMN public.message_templates.archived_at IS 'Since when no new communication may use it.';
COMMENT ON COLUMN public.message_templates.created_at IS 'When it was made.';

CREATE TABLE public.message_template_versions (
    organization_id uuid NOT NULL,
    template_id uuid NOT NULL,
    version integer NOT NULL CHECK (version >= 1),
    subject text CHECK (pg_catalog.length(subject) BETWEEN 1 AND 998),
    body text NOT NULL CHECK (pg_catalog.length(body) BETWEEN 1 AND 500000),
    body_text text CHECK (pg_catalog.length(body_text) BETWEEN 1 AND 500000),
    compiled jsonb CHECK (pg_catalog.jsonb_typeof(compiled) = 'object'),
    variables text[] NOT NULL DEFAULT '{}',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    created_by name NOT NULL DEFAULT session_user,
    published_at timestamptz,
    published_by name,
    PRIMARY KEY (organization_id, template_id, version),
    FOREIGN KEY (organization_id, template_id) REFERENCES public.message_templates (organization_id, template_id),
    CONSTRAINT message_template_versions_published CHECK (
        (published_at IS NULL) = (published_by IS NULL) AND (published_at IS NULL OR compiled IS NOT NULL)
    )
);
ALTER TABLE public.message_template_versions ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.message_template_versions FORCE ROW LEVEL SECURITY;
ALTER TABLE public.message_templates ADD CONSTRAINT message_templates_published
FOREIGN KEY (organization_id, template_id, published_version)
REFERENCES public.message_template_versions (organization_id, template_id, version);

COMMENT ON TABLE public.message_template_versions IS
'The texts of templates. A published version never changes: messages pin it.';
COMMENT ON COLUMN public.message_template_versions.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.message_template_versions.template_id IS 'The template.';
COMMENT ON COLUMN public.message_template_versions.version IS '1, 2, 3 …';
COMMENT ON COLUMN public.message_template_versions.subject IS 'Subject of an e-mail, title of a push message.';
COMMENT ON COLUMN public.message_template_versions.body IS 'HTML for email, plain text for every other channel.';
COMMENT ON COLUMN public.message_template_versions.body_text IS 'The plain text part of an e-mail.';
COMMENT ON COLUMN public.message_template_versions.compiled IS
'Subject, body and text cut into literals and variables by publish_template(), so that rendering parses nothing.';
COMMENT ON COLUMN public.message_template_versions.variables IS 'The variables that a message has to give.';
COMMENT ON COLUMN public.message_template_versions.created_at IS 'When it was written.';
COMMENT ON COLUMN public.message_template_versions.created_by IS 'The login that wrote it.';
COMMENT ON COLUMN public.message_template_versions.published_at IS 'When it was accepted; NULL: a draft.';
COMMENT ON COLUMN public.message_template_versions.published_by IS 'The login that published it.';
