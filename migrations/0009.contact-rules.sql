-- Who does not want to be written to: suppressions, and preferences of guests.
-- Asked when a message is queued and again when it is claimed.
-- Locks: none, everything is new.
CREATE TABLE public.suppressions (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    channel text NOT NULL CHECK (channel IN ('email', 'sms', 'push')),
    address_hash bytea NOT NULL CHECK (pg_catalog.length(address_hash) = 32),
    scope text NOT NULL DEFAULT 'all' CHECK (scope IN ('all', 'commercial')),
    reason text NOT NULL CHECK (
        reason IN ('hard_bounce', 'complaint', 'unsubscribe', 'consent_withdrawn', 'manual', 'erased')
    ),
    recipient_id uuid,
    note text CHECK (pg_catalog.length(note) <= 500),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    created_by name NOT NULL DEFAULT session_user,
    expires_at timestamptz,
    PRIMARY KEY (organization_id, channel, address_hash)
);
ALTER TABLE public.suppressions ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.suppressions FORCE ROW LEVEL SECURITY;

CREATE TABLE public.communication_preferences (
    organization_id uuid NOT NULL,
    guest_id uuid NOT NULL,
    channel text NOT NULL CHECK (channel IN ('email', 'sms', 'push', 'in_app')),
    allowed boolean NOT NULL DEFAULT true,
    is_preferred boolean NOT NULL DEFAULT false,
    quiet_from time,
    quiet_until time,
    max_messages smallint CHECK (max_messages BETWEEN 0 AND 1000),
    per_interval interval CHECK (per_interval BETWEEN '1 hour' AND '366 days'),
    language text CHECK (language ~ '^[a-z]{2,3}(-[A-Za-z0-9]{2,8})*$'),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    updated_by name NOT NULL DEFAULT session_user,
    PRIMARY KEY (organization_id, guest_id, channel),
    FOREIGN KEY (organization_id, guest_id) REFERENCES public.guests (organization_id, guest_id),
    CONSTRAINT communication_preferences_quiet CHECK ((quiet_from IS NULL) = (quiet_until IS NULL)),
    CONSTRAINT communication_preferences_cap CHECK ((max_messages IS NULL) = (per_interval IS NULL))
);
ALTER TABLE public.communication_preferences ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.communication_preferences FORCE ROW LEVEL SECURITY;
-- One preferred channel a guest.
CREATE UNIQUE INDEX communication_preferences_preferred ON public.communication_preferences
(organization_id, guest_id) WHERE is_preferred;

COMMENT ON TABLE public.suppressions IS
'Addresses that get nothing more, as keyed hashes: they outlive the erasure of the guest.';
COMMENT ON COLUMN public.suppressions.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.suppressions.channel IS 'email, sms or push.';
COMMENT ON COLUMN public.suppressions.address_hash IS 'Keyed hash of the normalised address.';
COMMENT ON COLUMN public.suppressions.scope IS 'all messages, or only commercial ones.';
COMMENT ON COLUMN public.suppressions.reason IS 'Why.';
COMMENT ON COLUMN public.suppressions.recipient_id IS 'The message that led to it, if one did.';
COMMENT ON COLUMN public.suppressions.note IS 'Anything else, without personal data.';
COMMENT ON COLUMN public.suppressions.created_at IS 'Since when.';
COMMENT ON COLUMN public.suppressions.created_by IS 'The login that wrote it.';
COMMENT ON COLUMN public.suppressions.expires_at IS 'Until when; NULL: for ever.';
COMMENT ON TABLE public.communication_preferences IS 'What a guest wishes, per channel. No row: no wishes.';
COMMENT ON COLUMN public.communication_preferences.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.communication_preferences.guest_id IS 'The guest.';
COMMENT ON COLUMN public.communication_preferences.channel IS 'email, sms, push or in_app.';
COMMENT ON COLUMN public.communication_preferences.allowed IS 'false: nothing on this channel.';
COMMENT ON COLUMN public.communication_preferences.is_preferred IS 'The channel the guest likes best.';
COMMENT ON COLUMN public.communication_preferences.quiet_from IS
'Nothing from this time of day on, in the guest''s time zone …';
COMMENT ON COLUMN public.communication_preferences.quiet_until IS '… until this one; over midnight if it is earlier.';
COMMENT ON COLUMN public.communication_preferences.max_messages IS 'At most so many messages …';
COMMENT ON COLUMN public.communication_preferences.per_interval IS '… in so long a time.';
COMMENT ON COLUMN public.communication_preferences.language IS 'BCP 47 tag of the language wished on this channel.';
COMMENT ON COLUMN public.communication_preferences.updated_at IS 'When it last changed.';
COMMENT ON COLUMN public.communication_preferences.updated_by IS 'The login that changed it.';
