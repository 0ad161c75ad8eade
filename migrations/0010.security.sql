-- Keys, wrapped: what encrypts fields and recognises addresses.
-- No key can be opened by who reads this table: the key-encryption key is a file on the machines.
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
