-- Keys, wrapped; the audit of what concerns security; limits of calls.
-- Nobody opens a key by reading this database: the key-encryption key is a file on the machines.
-- Locks: none, everything is new.
CREATE TABLE public.communication_encryption_keys (
    organization_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    key_id text NOT NULL CHECK (key_id ~ '^[A-Za-z0-9][A-Za-z0-9_.-]{0,99}$'),
    key_type text NOT NULL CHECK (key_type IN ('master', 'data', 'backup', 'transport')),
    purpose text NOT NULL DEFAULT 'keys' CHECK (purpose ~ '^[a-z][a-z0-9_]{0,62}$'),
    algorithm text NOT NULL DEFAULT 'AES-256-GCM' CHECK (algorithm IN ('AES-256-GCM', 'HMAC-SHA256')),
    encrypted_key bytea CHECK (pg_catalog.length(encrypted_key) = 60),
    parent_key_id text,
    key_version integer NOT NULL CHECK (key_version > 0),
    state text NOT NULL DEFAULT 'active' CHECK (state IN ('active', 'decrypt_only', 'destroyed')),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    created_by name NOT NULL DEFAULT session_user,
    activated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    retired_at timestamptz,
    destroyed_at timestamptz,
    PRIMARY KEY (organization_id, key_id),
    UNIQUE (organization_id, key_type, purpose, key_version),
    -- Keys of organizations are data keys, and every data key is under a master.
    CONSTRAINT communication_encryption_keys_platform CHECK (
        key_type = 'data' OR organization_id = '00000000-0000-0000-0000-000000000000'
    ),
    CONSTRAINT communication_encryption_keys_parent CHECK (
        (key_type = 'data') = (parent_key_id IS NOT NULL)
    ),
    CONSTRAINT communication_encryption_keys_purpose CHECK ((key_type = 'data') = (purpose <> 'keys')),
    CONSTRAINT communication_encryption_keys_retired CHECK ((state = 'active') = (retired_at IS NULL)),
    CONSTRAINT communication_encryption_keys_destroyed CHECK (
        (state = 'destroyed') = (encrypted_key IS NULL) AND (state = 'destroyed') = (destroyed_at IS NOT NULL)
    )
);
ALTER TABLE public.communication_encryption_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.communication_encryption_keys FORCE ROW LEVEL SECURITY;
-- One key encrypts; older ones only decrypt.
CREATE UNIQUE INDEX communication_encryption_keys_active ON public.communication_encryption_keys
(organization_id, key_type, purpose) WHERE state = 'active';

-- Sorted by danger, not by alphabet: ORDER BY risk_level DESC begins with critical.
CREATE COLLATION internal.risk_order (
    PROVIDER = icu, LOCALE = 'und', RULES = '&a < low < medium < high < critical'
);

CREATE TABLE public.communication_security_audit (
    organization_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    audit_id uuid NOT NULL DEFAULT internal.uuid_v7(),
    event_type text NOT NULL CHECK (event_type ~ '^[a-z][a-z0-9_]{0,62}$'),
    user_id text CHECK (pg_catalog.length(user_id) BETWEEN 1 AND 200),
    ip_address inet,
    risk_level text COLLATE internal.risk_order NOT NULL CHECK (
        risk_level IN ('low', 'medium', 'high', 'critical')
    ),
    success boolean NOT NULL,
    details jsonb NOT NULL DEFAULT '{}' CHECK (
        pg_catalog.jsonb_typeof(details) = 'object' AND pg_catalog.length(details::text) <= 10000
    ),
    login name NOT NULL DEFAULT session_user,
    PRIMARY KEY (organization_id, created_at, audit_id)
) PARTITION BY RANGE (created_at);
ALTER TABLE public.communication_security_audit ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.communication_security_audit FORCE ROW LEVEL SECURITY;
CREATE INDEX communication_security_audit_created_at ON public.communication_security_audit
USING brin (created_at);
-- What assess_risk() counts: failures of a user and of an address, and whether the user was seen there before.
CREATE INDEX communication_security_audit_user_failures ON public.communication_security_audit
(organization_id, user_id, created_at) WHERE NOT success;
CREATE INDEX communication_security_audit_address_failures ON public.communication_security_audit
(ip_address, created_at) WHERE NOT success;
CREATE INDEX communication_security_audit_seen ON public.communication_security_audit
(organization_id, user_id, ip_address) WHERE success;
CREATE TABLE internal.communication_security_audit_template ()
WITH (autovacuum_vacuum_insert_scale_factor = 0.05);
DO $partitions$
BEGIN
    PERFORM partman.create_parent(
        p_parent_table => 'public.communication_security_audit', p_control => 'created_at', p_interval => '1 month',
        p_premake => 3, p_start_partition => pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-01'),
        p_default_table => false, p_template_table => 'internal.communication_security_audit_template'
    );
END
$partitions$;
UPDATE partman.part_config
SET infinite_time_partitions = true, retention = NULL
WHERE parent_table = 'public.communication_security_audit';

-- One row a caller, endpoint and window. Only its counters change: no index names them, and half of each page is
-- free, so that a counter that is hot stays on its page.
CREATE TABLE public.communication_rate_limits (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    identifier text NOT NULL CHECK (pg_catalog.length(identifier) BETWEEN 1 AND 200),
    endpoint text NOT NULL CHECK (pg_catalog.length(endpoint) BETWEEN 1 AND 200),
    window_start timestamptz NOT NULL,
    window_end timestamptz NOT NULL,
    request_limit bigint NOT NULL,
    request_count bigint NOT NULL,
    refused_count bigint NOT NULL,
    last_allowed boolean NOT NULL,
    limit_exceeded boolean NOT NULL GENERATED ALWAYS AS (refused_count > 0) STORED,
    PRIMARY KEY (organization_id, identifier, endpoint, window_start)
) WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_vacuum_threshold = 1000);
ALTER TABLE public.communication_rate_limits ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.communication_rate_limits FORCE ROW LEVEL SECURITY;
-- Violations of the last hour; expiry.
CREATE INDEX communication_rate_limits_window_start ON public.communication_rate_limits (window_start);

CREATE TABLE internal.rate_limit_rules (
    organization_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    endpoint text NOT NULL CHECK (pg_catalog.length(endpoint) BETWEEN 1 AND 200),
    request_limit bigint NOT NULL CHECK (request_limit BETWEEN 0 AND 1000000000),
    window_length interval NOT NULL CHECK (window_length BETWEEN '1 second' AND '1 day'),
    note text CHECK (pg_catalog.length(note) <= 500),
    PRIMARY KEY (organization_id, endpoint)
);
INSERT INTO internal.rate_limit_rules (endpoint, request_limit, window_length, note)
VALUES ('*', 6000, '1 minute', 'Whatever has no rule of its own.');
ALTER TABLE internal.rate_limit_rules ENABLE ROW LEVEL SECURITY;
ALTER TABLE internal.rate_limit_rules FORCE ROW LEVEL SECURITY;

COMMENT ON TABLE public.communication_encryption_keys IS
'Wrapped keys: masters under the key-encryption key of the machines, data keys of organizations under a master.';
COMMENT ON COLUMN public.communication_encryption_keys.organization_id IS
'The tenant; the nil UUID for keys of the platform.';
COMMENT ON COLUMN public.communication_encryption_keys.key_id IS 'Its name within the organization.';
COMMENT ON COLUMN public.communication_encryption_keys.key_type IS
'master wraps data keys; data encrypts or recognises values of one organization; backup, transport: kept for people.';
COMMENT ON COLUMN public.communication_encryption_keys.purpose IS
'What it is for: keys (it wraps others or is kept), fields, address_hash, unsubscribe_tokens.';
COMMENT ON COLUMN public.communication_encryption_keys.algorithm IS 'What it is used with.';
COMMENT ON COLUMN public.communication_encryption_keys.encrypted_key IS
'12 bytes of nonce, 32 of key, 16 of tag; NULL once destroyed.';
COMMENT ON COLUMN public.communication_encryption_keys.parent_key_id IS
'The master that wraps it; NULL: the key-encryption key, which is not in the database.';
COMMENT ON COLUMN public.communication_encryption_keys.key_version IS
'Counts within organization, type and purpose; ciphertexts name it.';
COMMENT ON COLUMN public.communication_encryption_keys.state IS
'active: encrypts; decrypt_only: opens what it encrypted; destroyed: what it encrypted is lost.';
COMMENT ON COLUMN public.communication_encryption_keys.created_at IS 'When it was made.';
COMMENT ON COLUMN public.communication_encryption_keys.created_by IS 'The login that made it.';
COMMENT ON COLUMN public.communication_encryption_keys.activated_at IS 'Since when it encrypts.';
COMMENT ON COLUMN public.communication_encryption_keys.retired_at IS 'Since when another one encrypts.';
COMMENT ON COLUMN public.communication_encryption_keys.destroyed_at IS 'When it was destroyed.';
COMMENT ON COLLATION internal.risk_order IS 'low < medium < high < critical.';
COMMENT ON TABLE public.communication_security_audit IS
'What happened that concerns security, only ever added to, in monthly partitions.';
COMMENT ON COLUMN public.communication_security_audit.organization_id IS
'The tenant; the nil UUID for events of the platform.';
COMMENT ON COLUMN public.communication_security_audit.created_at IS 'When it was written: the key of its partition.';
COMMENT ON COLUMN public.communication_security_audit.audit_id IS 'The event.';
COMMENT ON COLUMN public.communication_security_audit.event_type IS 'What happened, such as authentication.';
COMMENT ON COLUMN public.communication_security_audit.user_id IS 'Who did it, as the application names its users.';
COMMENT ON COLUMN public.communication_security_audit.ip_address IS 'Where from.';
COMMENT ON COLUMN public.communication_security_audit.risk_level IS
'low, medium, high, critical, and sorted so; by assess_risk(), or worse if the caller said so.';
COMMENT ON COLUMN public.communication_security_audit.success IS 'Whether it succeeded.';
COMMENT ON COLUMN public.communication_security_audit.details IS
'What else is known, without secrets; in "risk" the score and its reasons.';
COMMENT ON COLUMN public.communication_security_audit.login IS 'The login of the database that wrote it.';
COMMENT ON TABLE internal.communication_security_audit_template IS 'Storage of new partitions; holds nothing.';
COMMENT ON TABLE public.communication_rate_limits IS 'What callers asked for, per window, written by check_rate_limit().';
COMMENT ON COLUMN public.communication_rate_limits.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.communication_rate_limits.identifier IS 'Who is counted: a user, a key, an address.';
COMMENT ON COLUMN public.communication_rate_limits.endpoint IS 'What is counted.';
COMMENT ON COLUMN public.communication_rate_limits.window_start IS 'From this moment …';
COMMENT ON COLUMN public.communication_rate_limits.window_end IS '… until this one.';
COMMENT ON COLUMN public.communication_rate_limits.request_limit IS 'How many are allowed in it.';
COMMENT ON COLUMN public.communication_rate_limits.request_count IS 'How many were asked for, refused ones too.';
COMMENT ON COLUMN public.communication_rate_limits.refused_count IS 'How many of them were refused.';
COMMENT ON COLUMN public.communication_rate_limits.last_allowed IS 'Whether the last one was allowed.';
COMMENT ON COLUMN public.communication_rate_limits.limit_exceeded IS 'Whether any was refused.';
COMMENT ON TABLE internal.rate_limit_rules IS
'Limits: the exact endpoint before *, a rule of the organization before one of the platform.';
COMMENT ON COLUMN internal.rate_limit_rules.organization_id IS 'The tenant; the nil UUID: everybody.';
COMMENT ON COLUMN internal.rate_limit_rules.endpoint IS 'What is limited; * for whatever has no rule.';
COMMENT ON COLUMN internal.rate_limit_rules.request_limit IS 'So many …';
COMMENT ON COLUMN internal.rate_limit_rules.window_length IS '… in so long a time.';
COMMENT ON COLUMN internal.rate_limit_rules.note IS 'Why.';
