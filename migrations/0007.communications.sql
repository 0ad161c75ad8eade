-- Communications, their recipients, and what providers report about them.
-- A recipient's key carries the moment of its communication: the key alone leads to one partition.
-- Locks: none, everything is new.
CREATE TABLE public.guest_communications (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    id uuid NOT NULL,
    created_at timestamptz NOT NULL,
    message_title text NOT NULL CHECK (pg_catalog.length(message_title) BETWEEN 1 AND 200),
    message_type text NOT NULL CHECK (message_type IN ('email', 'sms', 'push', 'in_app')),
    message_category text NOT NULL CHECK (message_category IN ('transactional', 'commercial')),
    purpose text NOT NULL CHECK (purpose ~ '^[a-z][a-z0-9_]{0,62}$'),
    lawful_basis text NOT NULL CHECK (
        lawful_basis IN ('consent', 'contract', 'legitimate_interest', 'legal_obligation')
    ),
    template_id uuid,
    template_version integer,
    subject text CHECK (pg_catalog.length(subject) BETWEEN 1 AND 998),
    body text NOT NULL CHECK (pg_catalog.length(body) BETWEEN 1 AND 500000),
    body_text text CHECK (pg_catalog.length(body_text) BETWEEN 1 AND 500000),
    compiled jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(compiled) = 'object'),
    variables text[] NOT NULL DEFAULT '{}',
    sender_name text CHECK (pg_catalog.length(sender_name) BETWEEN 1 AND 200),
    sender_address text CHECK (pg_catalog.length(sender_address) BETWEEN 1 AND 254),
    reply_to text CHECK (pg_catalog.length(reply_to) BETWEEN 3 AND 254),
    postal_address text CHECK (pg_catalog.length(postal_address) BETWEEN 5 AND 500),
    unsubscribe_url text CHECK (unsubscribe_url ~ '^https://'),
    status text NOT NULL DEFAULT 'draft' CHECK (
        status IN ('draft', 'scheduled', 'sending', 'sent', 'cancelled')
    ),
    scheduled_for timestamptz,
    window_from time,
    window_until time,
    priority smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 1 AND 9),
    total_recipients bigint NOT NULL DEFAULT 0,
    queued_count bigint NOT NULL DEFAULT 0,
    sending_count bigint NOT NULL DEFAULT 0,
    unknown_count bigint NOT NULL DEFAULT 0,
    sent_count bigint NOT NULL DEFAULT 0,
    deferred_count bigint NOT NULL DEFAULT 0,
    delivered_count bigint NOT NULL DEFAULT 0,
    opened_count bigint NOT NULL DEFAULT 0,
    clicked_count bigint NOT NULL DEFAULT 0,
    failed_count bigint NOT NULL DEFAULT 0,
    bounced_count bigint NOT NULL DEFAULT 0,
    complained_count bigint NOT NULL DEFAULT 0,
    suppressed_count bigint NOT NULL DEFAULT 0,
    cancelled_count bigint NOT NULL DEFAULT 0,
    is_archived boolean NOT NULL DEFAULT false,
    created_by name NOT NULL DEFAULT session_user,
    started_at timestamptz,
    completed_at timestamptz,
    cancelled_at timestamptz,
    PRIMARY KEY (organization_id, id, created_at),
    FOREIGN KEY (organization_id, template_id, template_version)
    REFERENCES public.message_template_versions (organization_id, template_id, version),
    CONSTRAINT guest_communications_created_at CHECK (created_at = internal.uuid_v7_time(id)),
    CONSTRAINT guest_communications_template CHECK ((template_id IS NULL) = (template_version IS NULL)),
    CONSTRAINT guest_communications_commercial_basis CHECK (
        message_category <> 'commercial' OR lawful_basis IN ('consent', 'legitimate_interest')
    ),
    CONSTRAINT guest_communications_subject CHECK (message_type <> 'email' OR subject IS NOT NULL),
    CONSTRAINT guest_communications_scheduled CHECK (status <> 'scheduled' OR scheduled_for IS NOT NULL),
    CONSTRAINT guest_communications_window CHECK ((window_from IS NULL) = (window_until IS NULL)),
    CONSTRAINT guest_communications_cancelled CHECK ((status = 'cancelled') = (cancelled_at IS NOT NULL))
) PARTITION BY RANGE (created_at);
ALTER TABLE public.guest_communications ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.guest_communications FORCE ROW LEVEL SECURITY;
-- list_communications(): newest first, page by page. No index mentions status (HOT).
CREATE INDEX guest_communications_newest ON public.guest_communications (organization_id, created_at, id);
-- How often a template was used is counted here: no counter in the template to queue at.
CREATE INDEX guest_communications_template ON public.guest_communications
(organization_id, template_id, template_version) WHERE template_id IS NOT NULL;

CREATE TABLE public.communication_recipients (
    organization_id uuid NOT NULL,
    id uuid NOT NULL,
    communication_id uuid NOT NULL,
    communication_created_at timestamptz NOT NULL,
    guest_id uuid,
    recipient_key uuid NOT NULL,
    channel text NOT NULL CHECK (channel IN ('email', 'sms', 'push', 'in_app')),
    recipient_name text,
    recipient_email text,
    recipient_phone text,
    recipient_device text,
    address_hash bytea CHECK (pg_catalog.length(address_hash) = 32),
    personalisation bytea,
    personalisation_key_version integer,
    status text NOT NULL DEFAULT 'queued' CHECK (
        status IN (
            'queued', 'sending', 'unknown', 'sent', 'deferred', 'delivered', 'opened', 'clicked', 'failed', 'bounced',
            'complained', 'suppressed', 'cancelled'
        )
    ),
    attempts smallint NOT NULL DEFAULT 0,
    next_attempt_at timestamptz,
    sending_at timestamptz,
    unknown_at timestamptz,
    sent_at timestamptz,
    deferred_at timestamptz,
    delivered_at timestamptz,
    opened_at timestamptz,
    clicked_at timestamptz,
    failed_at timestamptz,
    bounced_at timestamptz,
    unsubscribed_at timestamptz,
    complained_at timestamptz,
    suppressed_at timestamptz,
    cancelled_at timestamptz,
    suppression_reason text,
    provider text,
    provider_message_id text,
    error_code text,
    error_message text,
    lawful_basis text NOT NULL CHECK (
        lawful_basis IN ('consent', 'contract', 'legitimate_interest', 'legal_obligation')
    ),
    consent_event_id uuid,
    permitted_at timestamptz,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (organization_id, id, communication_created_at),
    FOREIGN KEY (organization_id, communication_id, communication_created_at)
    REFERENCES public.guest_communications (organization_id, id, created_at),
    FOREIGN KEY (organization_id, guest_id) REFERENCES public.guests (organization_id, guest_id),
    CONSTRAINT communication_recipients_time_in_key CHECK (
        pg_catalog.substring(pg_catalog.uuid_send(id), 1, 6)
        = pg_catalog.substring(pg_catalog.uuid_send(communication_id), 1, 6)
    ),
    CONSTRAINT communication_recipients_suppressed CHECK (
        (status = 'suppressed') <= (suppression_reason IS NOT NULL)
    ),
    CONSTRAINT communication_recipients_consent CHECK (
        lawful_basis <> 'consent' OR status IN ('suppressed', 'cancelled') OR consent_event_id IS NOT NULL
    ),
    CONSTRAINT communication_recipients_personalisation CHECK (
        (personalisation IS NULL) = (personalisation_key_version IS NULL)
    )
) PARTITION BY RANGE (communication_created_at);
ALTER TABLE public.communication_recipients ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.communication_recipients FORCE ROW LEVEL SECURITY;
-- Nobody twice in one communication: a guest, or an address where no guest is named. Also the order
-- in which list_recipients() turns pages.
CREATE UNIQUE INDEX communication_recipients_once ON public.communication_recipients
(organization_id, communication_id, recipient_key, communication_created_at);
-- What was sent to one guest: frequency caps, export and erasure.
CREATE INDEX communication_recipients_guest ON public.communication_recipients (organization_id, guest_id)
WHERE guest_id IS NOT NULL;
-- How many recipients a communication has and in which state they are depend on each other.
CREATE STATISTICS public.communication_recipients_states (MCV, DEPENDENCIES)
ON organization_id, communication_id, status FROM public.communication_recipients;

CREATE TABLE public.delivery_status (
    organization_id uuid NOT NULL,
    recipient_id uuid NOT NULL,
    event_key uuid NOT NULL,
    communication_id uuid NOT NULL,
    communication_created_at timestamptz NOT NULL,
    channel text NOT NULL,
    provider text NOT NULL,
    provider_event_id text NOT NULL,
    status text NOT NULL CHECK (
        status IN (
            'sent', 'deferred', 'delivered', 'opened', 'clicked', 'failed', 'bounced', 'unsubscribed', 'complained'
        )
    ),
    error_code text,
    error_message text,
    occurred_at timestamptz NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    -- No foreign key to recipients: record_delivery_events() writes only events whose recipient it has
    -- locked; run_integrity_checks() looks for orphans.
    PRIMARY KEY (organization_id, recipient_id, event_key, created_at)
) PARTITION BY RANGE (created_at);
ALTER TABLE public.delivery_status ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.delivery_status FORCE ROW LEVEL SECURITY;
-- Errors of the last hour: rows come in order of time, a block range index costs next to nothing.
CREATE INDEX delivery_status_created_at ON public.delivery_status USING brin (created_at);

-- What partman copies to new partitions: storage by write pattern. Communications and recipients are
-- updated several times: room on the page keeps updates off the indexes (HOT), and a partition of
-- millions must not wait until a fifth of it is dead. A claim moves all recipients of a page at once, so
-- half of it is room: with a seventh 29 % of these updates were HOT, with half 88 %. Events are only inserted.
CREATE TABLE internal.guest_communications_template ()
WITH (fillfactor = 70, autovacuum_vacuum_scale_factor = 0.02);
CREATE TABLE internal.communication_recipients_template ()
WITH (fillfactor = 50, autovacuum_vacuum_scale_factor = 0.02, autovacuum_analyze_scale_factor = 0.02);
CREATE TABLE internal.delivery_status_template ()
WITH (autovacuum_vacuum_insert_scale_factor = 0.05);

-- Partitions by month, three ahead, no default partition: a row without a partition is an error that
-- shows at once, and one in the default partition would stop every later month.
DO $partitions$
BEGIN
    PERFORM partman.create_parent(
        p_parent_table => 'public.' || wanted.parent, p_control => wanted.control, p_interval => '1 month',
        p_premake => 3, p_start_partition => pg_catalog.to_char(pg_catalog.now(), 'YYYY-MM-01'),
        p_default_table => false, p_template_table => 'internal.' || wanted.parent || '_template'
    )
    FROM (
        VALUES
        ('guest_communications', 'created_at'),
        ('communication_recipients', 'communication_created_at'),
        ('delivery_status', 'created_at')
    ) AS wanted (parent, control);
END
$partitions$;
-- Months that nobody writes to are made all the same, and none is dropped but by apply_data_retention().
UPDATE partman.part_config
SET infinite_time_partitions = true, retention = NULL
WHERE parent_table IN ('public.guest_communications', 'public.communication_recipients', 'public.delivery_status');

-- Providers deliver an event again for days: the same key again, whatever the month, is no event.
CREATE TABLE internal.delivery_event_keys (
    organization_id uuid NOT NULL,
    event_key uuid NOT NULL,
    seen_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (organization_id, event_key)
);
ALTER TABLE internal.delivery_event_keys ENABLE ROW LEVEL SECURITY;
ALTER TABLE internal.delivery_event_keys FORCE ROW LEVEL SECURITY;
-- Old keys are deleted by age.
CREATE INDEX delivery_event_keys_seen_at ON internal.delivery_event_keys USING brin (seen_at);

-- Providers that know messages only by a name of their own.
CREATE TABLE internal.provider_messages (
    organization_id uuid NOT NULL,
    provider text NOT NULL,
    provider_message_id text NOT NULL,
    recipient_id uuid NOT NULL,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (organization_id, provider, provider_message_id)
);
ALTER TABLE internal.provider_messages ENABLE ROW LEVEL SECURITY;
ALTER TABLE internal.provider_messages FORCE ROW LEVEL SECURITY;
CREATE INDEX provider_messages_created_at ON internal.provider_messages USING brin (created_at);

-- Not of a tenant yet: whose event it is shows when the message is known.
CREATE TABLE internal.unmatched_delivery_events (
    unmatched_id uuid PRIMARY KEY DEFAULT internal.uuid_v7(),
    claimed_organization uuid,
    provider text NOT NULL,
    provider_event_id text NOT NULL,
    recipient_id uuid,
    provider_message_id text,
    status text NOT NULL,
    error_code text,
    error_message text,
    occurred_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    UNIQUE NULLS NOT DISTINCT (provider, provider_event_id, claimed_organization)
);
-- Those that wait for a message to become known.
CREATE INDEX unmatched_delivery_events_message ON internal.unmatched_delivery_events
(claimed_organization, provider, provider_message_id);

-- Counters are sums of small changes: calls that report on one communication do not wait for each other.
CREATE TABLE internal.communication_counter_deltas (
    organization_id uuid NOT NULL,
    communication_id uuid NOT NULL,
    delta_id bigint GENERATED ALWAYS AS IDENTITY (CACHE 20),
    status text NOT NULL,
    delta bigint NOT NULL,
    PRIMARY KEY (organization_id, communication_id, delta_id)
)
WITH (autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 2000, autovacuum_vacuum_cost_delay = 0);
ALTER TABLE internal.communication_counter_deltas ENABLE ROW LEVEL SECURITY;
ALTER TABLE internal.communication_counter_deltas FORCE ROW LEVEL SECURITY;

-- Frozen here: which of two states says more, for events that come in any order. Not STRICT: it would not be
-- taken into the query, and cost ten times as much.
CREATE FUNCTION internal.status_rank(p_status text) RETURNS smallint
LANGUAGE sql IMMUTABLE PARALLEL SAFE
RETURN CASE p_status
    WHEN 'queued' THEN 0 WHEN 'cancelled' THEN 1 WHEN 'suppressed' THEN 2 WHEN 'sending' THEN 10 WHEN 'unknown' THEN 15
    WHEN 'sent' THEN 20 WHEN 'deferred' THEN 25 WHEN 'delivered' THEN 30 WHEN 'opened' THEN 40 WHEN 'clicked' THEN 50
    WHEN 'failed' THEN 60 WHEN 'bounced' THEN 70 WHEN 'complained' THEN 80
END::smallint;
COMMENT ON FUNCTION internal.status_rank(text) IS
'How far a message is: of two reported states the higher rank stays. unsubscribed has none: it only sets its time.';
REVOKE ALL ON FUNCTION internal.status_rank(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.status_rank(text) TO comms_maintenance;

COMMENT ON STATISTICS public.communication_recipients_states IS 'Rows by communication and state.';
COMMENT ON TABLE public.guest_communications IS
'A message to many guests, in monthly partitions by creation. Its texts are a copy: what was sent stays readable.';
COMMENT ON COLUMN public.guest_communications.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.guest_communications.id IS 'The communication, a UUIDv7.';
COMMENT ON COLUMN public.guest_communications.created_at IS 'The moment in its id: the key of its partition.';
COMMENT ON COLUMN public.guest_communications.message_title IS 'What people of the organization call it.';
COMMENT ON COLUMN public.guest_communications.message_type IS 'The channel: email, sms, push or in_app.';
COMMENT ON COLUMN public.guest_communications.message_category IS
'commercial: opt-out link and postal address are duties (15 USC 7704); transactional: about the wedding itself.';
COMMENT ON COLUMN public.guest_communications.purpose IS 'What consent is asked for, such as wedding_updates.';
COMMENT ON COLUMN public.guest_communications.lawful_basis IS
'Why it may be sent (GDPR Art 6); consent: only to those who gave it for channel and purpose.';
COMMENT ON COLUMN public.guest_communications.template_id IS 'The template it was made from, if any.';
COMMENT ON COLUMN public.guest_communications.template_version IS 'The version that was pinned.';
COMMENT ON COLUMN public.guest_communications.subject IS 'Subject with its variables.';
COMMENT ON COLUMN public.guest_communications.body IS 'HTML for email, plain text otherwise, with its variables.';
COMMENT ON COLUMN public.guest_communications.body_text IS 'Plain text part of an e-mail.';
COMMENT ON COLUMN public.guest_communications.compiled IS 'The texts cut into literals and variables.';
COMMENT ON COLUMN public.guest_communications.variables IS 'Variables that every recipient has to have.';
COMMENT ON COLUMN public.guest_communications.sender_name IS 'Who writes, as recipients read it.';
COMMENT ON COLUMN public.guest_communications.sender_address IS 'From address, or the sending number.';
COMMENT ON COLUMN public.guest_communications.reply_to IS 'Where answers go.';
COMMENT ON COLUMN public.guest_communications.postal_address IS 'Postal address of the sender.';
COMMENT ON COLUMN public.guest_communications.unsubscribe_url IS
'Where unsubscribe links lead; each recipient''s token is appended (RFC 8058).';
COMMENT ON COLUMN public.guest_communications.status IS
'draft: no recipients yet; scheduled; sending; sent: nobody is left to send to; cancelled.';
COMMENT ON COLUMN public.guest_communications.scheduled_for IS 'Not before then.';
COMMENT ON COLUMN public.guest_communications.window_from IS
'Sent only from this time of day on, in the guest''s time zone …';
COMMENT ON COLUMN public.guest_communications.window_until IS '… and before this one.';
COMMENT ON COLUMN public.guest_communications.priority IS '1 is most urgent, 9 least.';
COMMENT ON COLUMN public.guest_communications.total_recipients IS
'Recipients in any state. This and the counters follow within a minute; communication_progress() is exact.';
COMMENT ON COLUMN public.guest_communications.queued_count IS 'Recipients in state queued: waits to be claimed.';
COMMENT ON COLUMN public.guest_communications.sending_count IS 'Recipients in state sending: in the hands of a worker.';
COMMENT ON COLUMN public.guest_communications.unknown_count IS
'Recipients in state unknown: the attempt ended without an answer: never sent again by itself.';
COMMENT ON COLUMN public.guest_communications.sent_count IS 'Recipients in state sent: accepted by the provider.';
COMMENT ON COLUMN public.guest_communications.deferred_count IS
'Recipients in state deferred: the provider tries again.';
COMMENT ON COLUMN public.guest_communications.delivered_count IS
'Recipients in state delivered: accepted by the recipient''s server.';
COMMENT ON COLUMN public.guest_communications.opened_count IS 'Recipients in state opened: opened.';
COMMENT ON COLUMN public.guest_communications.clicked_count IS
'Recipients in state clicked: a link in it was followed.';
COMMENT ON COLUMN public.guest_communications.failed_count IS
'Recipients in state failed: not sent, or refused by the provider.';
COMMENT ON COLUMN public.guest_communications.bounced_count IS
'Recipients in state bounced: refused for good by the recipient''s server.';
COMMENT ON COLUMN public.guest_communications.complained_count IS
'Recipients in state complained: reported as unwanted.';
COMMENT ON COLUMN public.guest_communications.suppressed_count IS
'Recipients in state suppressed: not sent: a rule forbade it.';
COMMENT ON COLUMN public.guest_communications.cancelled_count IS
'Recipients in state cancelled: not sent: the communication was cancelled.';
COMMENT ON COLUMN public.guest_communications.is_archived IS 'Set by apply_data_retention(): out of the lists.';
COMMENT ON COLUMN public.guest_communications.created_by IS 'The login that made it.';
COMMENT ON COLUMN public.guest_communications.started_at IS 'When its first recipients were queued.';
COMMENT ON COLUMN public.guest_communications.completed_at IS 'When nobody was left to send to.';
COMMENT ON COLUMN public.guest_communications.cancelled_at IS 'When it was cancelled.';
COMMENT ON TABLE public.communication_recipients IS
'Who gets a communication, one row each, in monthly partitions by the creation of the communication.';
COMMENT ON COLUMN public.communication_recipients.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.communication_recipients.id IS
'The recipient, a UUIDv7 with the moment of the communication: providers get it as idempotency key.';
COMMENT ON COLUMN public.communication_recipients.communication_id IS 'The communication.';
COMMENT ON COLUMN public.communication_recipients.communication_created_at IS 'Its creation: the key of the partition.';
COMMENT ON COLUMN public.communication_recipients.guest_id IS 'The guest, if it is one.';
COMMENT ON COLUMN public.communication_recipients.recipient_key IS
'guest_id, or a name made from channel and address: unique within a communication.';
COMMENT ON COLUMN public.communication_recipients.channel IS 'email, sms, push or in_app.';
COMMENT ON COLUMN public.communication_recipients.recipient_name IS 'The name when it was queued.';
COMMENT ON COLUMN public.communication_recipients.recipient_email IS 'The address when it was queued.';
COMMENT ON COLUMN public.communication_recipients.recipient_phone IS 'The number when it was queued.';
COMMENT ON COLUMN public.communication_recipients.recipient_device IS 'The push token when it was queued.';
COMMENT ON COLUMN public.communication_recipients.address_hash IS
'Keyed hash of the address used: joins with suppressions and consent; NULL for in_app.';
COMMENT ON COLUMN public.communication_recipients.personalisation IS
'Variables of this recipient, a JSON object under AES-256-GCM with the organization''s key.';
COMMENT ON COLUMN public.communication_recipients.personalisation_key_version IS 'Version of that key.';
COMMENT ON COLUMN public.communication_recipients.status IS
'queued, sending, unknown, sent … : of all reports the one of highest rank.';
COMMENT ON COLUMN public.communication_recipients.attempts IS 'How often it was handed to a provider.';
COMMENT ON COLUMN public.communication_recipients.next_attempt_at IS 'Not claimed before then: back-off, quiet hours.';
COMMENT ON COLUMN public.communication_recipients.sending_at IS 'When an attempt last began.';
COMMENT ON COLUMN public.communication_recipients.unknown_at IS 'When an attempt ended without an answer.';
COMMENT ON COLUMN public.communication_recipients.sent_at IS 'When it was first sent.';
COMMENT ON COLUMN public.communication_recipients.deferred_at IS 'When it was first deferred.';
COMMENT ON COLUMN public.communication_recipients.delivered_at IS 'When it was first delivered.';
COMMENT ON COLUMN public.communication_recipients.opened_at IS 'When it was first opened.';
COMMENT ON COLUMN public.communication_recipients.clicked_at IS 'When it was first clicked.';
COMMENT ON COLUMN public.communication_recipients.failed_at IS 'When it was first failed.';
COMMENT ON COLUMN public.communication_recipients.bounced_at IS 'When it was first bounced.';
COMMENT ON COLUMN public.communication_recipients.unsubscribed_at IS
'When the recipient unsubscribed through this message.';
COMMENT ON COLUMN public.communication_recipients.complained_at IS 'When it was first complained.';
COMMENT ON COLUMN public.communication_recipients.suppressed_at IS 'When it was first suppressed.';
COMMENT ON COLUMN public.communication_recipients.cancelled_at IS 'When it was first cancelled.';
COMMENT ON COLUMN public.communication_recipients.suppression_reason IS 'The rule that forbade it.';
COMMENT ON COLUMN public.communication_recipients.provider IS 'The provider that took it.';
COMMENT ON COLUMN public.communication_recipients.provider_message_id IS 'The provider''s name for the message.';
COMMENT ON COLUMN public.communication_recipients.error_code IS 'Code of the last error.';
COMMENT ON COLUMN public.communication_recipients.error_message IS 'Text of the last error.';
COMMENT ON COLUMN public.communication_recipients.lawful_basis IS 'Why it might be sent.';
COMMENT ON COLUMN public.communication_recipients.consent_event_id IS
'The event in which consent was given, if that was the basis.';
COMMENT ON COLUMN public.communication_recipients.permitted_at IS
'When consent, suppressions and preferences were last asked.';
COMMENT ON COLUMN public.communication_recipients.created_at IS 'When it was queued.';
COMMENT ON TABLE public.delivery_status IS
'What providers reported, only ever added to, in monthly partitions by arrival.';
COMMENT ON COLUMN public.delivery_status.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.delivery_status.recipient_id IS 'The recipient.';
COMMENT ON COLUMN public.delivery_status.event_key IS 'Hash of provider and provider_event_id.';
COMMENT ON COLUMN public.delivery_status.communication_id IS 'The communication.';
COMMENT ON COLUMN public.delivery_status.communication_created_at IS
'Its creation, for joins that stay in one partition.';
COMMENT ON COLUMN public.delivery_status.channel IS 'email, sms, push or in_app.';
COMMENT ON COLUMN public.delivery_status.provider IS 'Who reported.';
COMMENT ON COLUMN public.delivery_status.provider_event_id IS 'The provider''s name for the event.';
COMMENT ON COLUMN public.delivery_status.status IS 'What happened.';
COMMENT ON COLUMN public.delivery_status.error_code IS 'The provider''s code, such as 5.1.1.';
COMMENT ON COLUMN public.delivery_status.error_message IS 'The provider''s words, at most 1000 characters.';
COMMENT ON COLUMN public.delivery_status.occurred_at IS 'When it happened, as the provider says.';
COMMENT ON COLUMN public.delivery_status.created_at IS 'When it arrived: the key of its partition.';
COMMENT ON TABLE internal.guest_communications_template IS 'Storage of new partitions; holds nothing.';
COMMENT ON TABLE internal.communication_recipients_template IS 'Storage of new partitions; holds nothing.';
COMMENT ON TABLE internal.delivery_status_template IS 'Storage of new partitions; holds nothing.';
COMMENT ON TABLE internal.delivery_event_keys IS 'Events seen in the last weeks, so that a repeated one is dropped.';
COMMENT ON COLUMN internal.delivery_event_keys.organization_id IS 'The tenant.';
COMMENT ON COLUMN internal.delivery_event_keys.event_key IS 'Hash of provider and provider_event_id.';
COMMENT ON COLUMN internal.delivery_event_keys.seen_at IS 'When it came first.';
COMMENT ON TABLE internal.provider_messages IS 'Recipients by the name that a provider gave the message.';
COMMENT ON COLUMN internal.provider_messages.organization_id IS 'The tenant.';
COMMENT ON COLUMN internal.provider_messages.provider IS 'The provider.';
COMMENT ON COLUMN internal.provider_messages.provider_message_id IS 'Its name for the message.';
COMMENT ON COLUMN internal.provider_messages.recipient_id IS 'The recipient.';
COMMENT ON COLUMN internal.provider_messages.created_at IS 'When it was sent.';
COMMENT ON TABLE internal.unmatched_delivery_events IS
'Events that named no known message: kept, and matched when it becomes known.';
COMMENT ON COLUMN internal.unmatched_delivery_events.unmatched_id IS 'The row.';
COMMENT ON COLUMN internal.unmatched_delivery_events.claimed_organization IS
'The organization that the caller named, if any.';
COMMENT ON COLUMN internal.unmatched_delivery_events.provider IS 'Who reported.';
COMMENT ON COLUMN internal.unmatched_delivery_events.provider_event_id IS 'The provider''s name for the event.';
COMMENT ON COLUMN internal.unmatched_delivery_events.recipient_id IS 'The recipient it named, if any.';
COMMENT ON COLUMN internal.unmatched_delivery_events.provider_message_id IS 'The message it named, if any.';
COMMENT ON COLUMN internal.unmatched_delivery_events.status IS 'What happened.';
COMMENT ON COLUMN internal.unmatched_delivery_events.error_code IS 'The provider''s code.';
COMMENT ON COLUMN internal.unmatched_delivery_events.error_message IS 'The provider''s words.';
COMMENT ON COLUMN internal.unmatched_delivery_events.occurred_at IS 'When it happened.';
COMMENT ON COLUMN internal.unmatched_delivery_events.received_at IS 'When it arrived.';
COMMENT ON TABLE internal.communication_counter_deltas IS
'Changes of the counters of communications since they were last summed up.';
COMMENT ON COLUMN internal.communication_counter_deltas.organization_id IS 'The tenant.';
COMMENT ON COLUMN internal.communication_counter_deltas.communication_id IS 'The communication.';
COMMENT ON COLUMN internal.communication_counter_deltas.delta_id IS 'A number.';
COMMENT ON COLUMN internal.communication_counter_deltas.status IS
'The state whose counter changes; total for all recipients.';
COMMENT ON COLUMN internal.communication_counter_deltas.delta IS 'By how much.';
