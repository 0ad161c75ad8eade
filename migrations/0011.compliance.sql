-- Consent and its proof, checks of messages, retention, legal holds, requests of data subjects.
-- What the law asks to be shown later is written when it happens and never changed.
-- Locks: SHARE on communication_recipients and guests for their indexes; both are empty.
-- Unsubscribing finds queued messages of an address: those to guests by the guest, the others by this.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX communication_recipients_address ON public.communication_recipients (organization_id, address_hash)
WHERE guest_id IS NULL AND address_hash IS NOT NULL;
-- Beside those of 0006: consent can be for push messages, too.
-- squawk-ignore require-concurrent-index-creation
CREATE INDEX guests_push_hash ON public.guests (organization_id, push_hash) WHERE push_hash IS NOT NULL;

CREATE TABLE public.consent_texts (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    version text NOT NULL CHECK (pg_catalog.length(version) BETWEEN 1 AND 100),
    body text NOT NULL CHECK (pg_catalog.length(body) BETWEEN 1 AND 100000),
    sha256 bytea NOT NULL CHECK (pg_catalog.length(sha256) = 32),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    created_by name NOT NULL DEFAULT session_user,
    PRIMARY KEY (organization_id, version)
);
ALTER TABLE public.consent_texts ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.consent_texts FORCE ROW LEVEL SECURITY;

CREATE TABLE public.communication_gdpr_consent_events (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    event_id uuid NOT NULL DEFAULT internal.uuid_v7(),
    address_hash bytea NOT NULL CHECK (pg_catalog.length(address_hash) = 32),
    channel text NOT NULL CHECK (channel IN ('email', 'sms', 'push')),
    purpose text NOT NULL CHECK (purpose ~ '^[a-z][a-z0-9_]{0,62}$'),
    event text NOT NULL CHECK (event IN ('given', 'withdrawn')),
    -- No foreign key: a withdrawal is never refused, whoever the guest is.
    guest_id uuid,
    consent_version text,
    method text NOT NULL CHECK (
        method IN ('form', 'double_opt_in', 'sms_keyword', 'spoken', 'paper', 'import', 'unsubscribe', 'request')
    ),
    source text CHECK (pg_catalog.length(source) BETWEEN 1 AND 500),
    ip_address inet,
    user_agent text CHECK (pg_catalog.length(user_agent) BETWEEN 1 AND 1000),
    actor text CHECK (pg_catalog.length(actor) BETWEEN 1 AND 200),
    occurred_at timestamptz NOT NULL,
    recorded_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    recorded_by name NOT NULL DEFAULT session_user,
    PRIMARY KEY (organization_id, event_id),
    FOREIGN KEY (organization_id, consent_version) REFERENCES public.consent_texts (organization_id, version),
    CONSTRAINT communication_gdpr_consent_events_text CHECK (event = 'withdrawn' OR consent_version IS NOT NULL),
    CONSTRAINT communication_gdpr_consent_events_order CHECK (occurred_at <= recorded_at)
);
ALTER TABLE public.communication_gdpr_consent_events ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.communication_gdpr_consent_events FORCE ROW LEVEL SECURITY;
-- The history of one address: export and disputes.
CREATE INDEX communication_gdpr_consent_events_address ON public.communication_gdpr_consent_events
(organization_id, address_hash, channel, purpose);
-- compliance_report(): events come in order of time.
CREATE INDEX communication_gdpr_consent_events_recorded_at ON public.communication_gdpr_consent_events
USING brin (recorded_at);

CREATE TABLE public.communication_gdpr_consent (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    address_hash bytea NOT NULL CHECK (pg_catalog.length(address_hash) = 32),
    channel text NOT NULL CHECK (channel IN ('email', 'sms', 'push')),
    purpose text NOT NULL CHECK (purpose ~ '^[a-z][a-z0-9_]{0,62}$'),
    id uuid NOT NULL GENERATED ALWAYS AS (consent_event_id) STORED,
    consent_event_id uuid NOT NULL,
    guest_id uuid,
    guest_email text CHECK (pg_catalog.length(guest_email) BETWEEN 3 AND 254),
    consent_given boolean NOT NULL,
    consent_version text,
    given_at timestamptz,
    withdrawn_at timestamptz,
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (organization_id, address_hash, channel, purpose),
    -- Events are never deleted, so this refuses nothing.
    FOREIGN KEY (organization_id, consent_event_id)
    REFERENCES public.communication_gdpr_consent_events (organization_id, event_id),
    CONSTRAINT communication_gdpr_consent_email CHECK (channel = 'email' OR guest_email IS NULL),
    CONSTRAINT communication_gdpr_consent_dates CHECK (
        CASE WHEN consent_given THEN given_at ELSE withdrawn_at END IS NOT NULL
    )
)
WITH (fillfactor = 90);
ALTER TABLE public.communication_gdpr_consent ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.communication_gdpr_consent FORCE ROW LEVEL SECURITY;

CREATE TABLE public.communication_canspam_compliance (
    organization_id uuid NOT NULL,
    validation_id uuid NOT NULL,
    -- No foreign key: what was found outlives the message.
    communication_id uuid NOT NULL,
    has_unsubscribe_link boolean NOT NULL,
    has_physical_address boolean NOT NULL,
    has_clear_sender boolean NOT NULL,
    subject_line_accurate boolean,
    subject_assessed_by text CHECK (pg_catalog.length(subject_assessed_by) BETWEEN 1 AND 200),
    subject_assessed_at timestamptz,
    compliance_score smallint NOT NULL CHECK (compliance_score BETWEEN 0 AND 100),
    findings jsonb NOT NULL CHECK (pg_catalog.jsonb_typeof(findings) = 'array'),
    validator_version integer NOT NULL CHECK (validator_version >= 1),
    validation_timestamp timestamptz NOT NULL,
    validated_by name NOT NULL DEFAULT session_user,
    PRIMARY KEY (organization_id, validation_id),
    CONSTRAINT communication_canspam_compliance_subject CHECK (
        pg_catalog.num_nonnulls(subject_line_accurate, subject_assessed_by, subject_assessed_at) IN (0, 3)
    )
);
ALTER TABLE public.communication_canspam_compliance ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.communication_canspam_compliance FORCE ROW LEVEL SECURITY;
-- The last check of a communication.
CREATE INDEX communication_canspam_compliance_newest ON public.communication_canspam_compliance
(organization_id, communication_id, validation_id);
-- Scores of the last day, over all organizations.
CREATE INDEX communication_canspam_compliance_time ON public.communication_canspam_compliance
USING brin (validation_timestamp);

CREATE TABLE public.communication_data_retention (
    rule text PRIMARY KEY CHECK (rule ~ '^[a-z][a-z0-9_]{0,62}$'),
    data_class text NOT NULL CHECK (
        data_class IN (
            'guest_communications', 'communication_recipients', 'delivery_status', 'communication_idempotency',
            'delivery_event_keys', 'provider_messages', 'unmatched_delivery_events', 'canspam_compliance'
        )
    ),
    action text NOT NULL CHECK (action IN ('archive', 'anonymise', 'drop_partition', 'delete')),
    retention_period interval NOT NULL CHECK (retention_period >= '1 day'),
    legal_basis text NOT NULL CHECK (pg_catalog.length(legal_basis) BETWEEN 1 AND 500),
    enabled boolean NOT NULL DEFAULT true,
    last_run_at timestamptz,
    last_result jsonb,
    UNIQUE (data_class, action),
    CONSTRAINT communication_data_retention_action CHECK (
        CASE data_class
            WHEN 'guest_communications' THEN action IN ('archive', 'drop_partition')
            WHEN 'communication_recipients' THEN action = 'anonymise'
            WHEN 'delivery_status' THEN action = 'drop_partition'
            ELSE action = 'delete'
        END
    )
);

CREATE TABLE public.legal_holds (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    hold_id uuid NOT NULL DEFAULT internal.uuid_v7(),
    guest_id uuid,
    communication_id uuid,
    reason text NOT NULL CHECK (pg_catalog.length(reason) BETWEEN 1 AND 500),
    placed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    placed_by name NOT NULL DEFAULT session_user,
    lifted_at timestamptz,
    lifted_by name,
    PRIMARY KEY (organization_id, hold_id),
    CONSTRAINT legal_holds_of_one_thing CHECK (pg_catalog.num_nonnulls(guest_id, communication_id) <= 1),
    CONSTRAINT legal_holds_lifted CHECK ((lifted_at IS NULL) = (lifted_by IS NULL))
);
ALTER TABLE public.legal_holds ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.legal_holds FORCE ROW LEVEL SECURITY;

CREATE TABLE public.data_subject_requests (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    request_id uuid NOT NULL DEFAULT internal.uuid_v7(),
    guest_id uuid NOT NULL,
    kind text NOT NULL CHECK (
        kind IN ('access', 'rectification', 'erasure', 'restriction', 'portability', 'objection')
    ),
    received_at timestamptz NOT NULL,
    due_at timestamptz NOT NULL,
    extension_reason text CHECK (pg_catalog.length(extension_reason) BETWEEN 1 AND 500),
    note text CHECK (pg_catalog.length(note) BETWEEN 1 AND 2000),
    opened_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    opened_by name NOT NULL DEFAULT session_user,
    outcome text CHECK (outcome IN ('fulfilled', 'refused', 'withdrawn')),
    outcome_reason text CHECK (pg_catalog.length(outcome_reason) BETWEEN 1 AND 500),
    closed_at timestamptz,
    closed_by name,
    PRIMARY KEY (organization_id, request_id),
    FOREIGN KEY (organization_id, guest_id) REFERENCES public.guests (organization_id, guest_id),
    CONSTRAINT data_subject_requests_due CHECK (due_at > received_at),
    CONSTRAINT data_subject_requests_closed CHECK (
        pg_catalog.num_nonnulls(outcome, closed_at, closed_by) IN (0, 3)
        AND (outcome IS DISTINCT FROM 'refused' OR outcome_reason IS NOT NULL)
    )
);
ALTER TABLE public.data_subject_requests ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.data_subject_requests FORCE ROW LEVEL SECURITY;
-- What is due next, over all organizations.
CREATE INDEX data_subject_requests_due ON public.data_subject_requests (due_at) WHERE closed_at IS NULL;
CREATE INDEX data_subject_requests_guest ON public.data_subject_requests (organization_id, guest_id);

CREATE TABLE public.processing_records (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    activity text NOT NULL CHECK (pg_catalog.length(activity) BETWEEN 1 AND 200),
    purposes text NOT NULL CHECK (pg_catalog.length(purposes) BETWEEN 1 AND 2000),
    lawful_basis text NOT NULL CHECK (
        lawful_basis IN ('consent', 'contract', 'legitimate_interest', 'legal_obligation')
    ),
    subject_categories text[] NOT NULL CHECK (pg_catalog.cardinality(subject_categories) > 0),
    data_categories text[] NOT NULL CHECK (pg_catalog.cardinality(data_categories) > 0),
    recipient_categories text[] NOT NULL,
    transfers text CHECK (pg_catalog.length(transfers) BETWEEN 1 AND 2000),
    retention_rules text[] NOT NULL DEFAULT '{}',
    security_measures text NOT NULL CHECK (pg_catalog.length(security_measures) BETWEEN 1 AND 2000),
    contact text NOT NULL CHECK (pg_catalog.length(contact) BETWEEN 1 AND 500),
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    updated_by name NOT NULL DEFAULT session_user,
    PRIMARY KEY (organization_id, activity)
);
ALTER TABLE public.processing_records ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.processing_records FORCE ROW LEVEL SECURITY;

-- Defaults, for every organization; operations changes them with UPDATE.
INSERT INTO public.communication_data_retention (rule, data_class, action, retention_period, legal_basis) VALUES
(
    'archive_communications', 'guest_communications', 'archive', '365 days',
    'GDPR Art 5(1)(c): out of sight when the wedding is over'
),
(
    'anonymise_recipients', 'communication_recipients', 'anonymise', '730 days',
    'GDPR Art 5(1)(e): identifiable no longer than necessary'
),
(
    'drop_delivery_events', 'delivery_status', 'drop_partition', '400 days',
    'GDPR Art 5(1)(e): reports of providers serve disputes about delivery'
),
(
    'drop_communications', 'guest_communications', 'drop_partition', '3 years',
    'GDPR Art 5(1)(e); claims are time-barred after three years in most places'
),
(
    'delete_idempotency_keys', 'communication_idempotency', 'delete', '30 days',
    'no personal data; retries come within minutes'
),
(
    'delete_event_keys', 'delivery_event_keys', 'delete', '35 days',
    'no personal data; providers repeat events for days'
),
(
    'delete_provider_messages', 'provider_messages', 'delete', '100 days',
    'no personal data; reports come within weeks'
),
(
    'delete_unmatched_events', 'unmatched_delivery_events', 'delete', '30 days',
    'GDPR Art 5(1)(e): nobody''s message will turn up after that'
),
(
    'delete_message_checks', 'canspam_compliance', 'delete', '5 years',
    '28 USC 2462: civil penalties are time-barred after five years'
);

COMMENT ON TABLE public.consent_texts IS
'The words that people consented to, by version; never changed. Made by create_consent_text().';
COMMENT ON COLUMN public.consent_texts.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.consent_texts.version IS 'What the application calls it, such as 2026-03 or newsletter-de-2.';
COMMENT ON COLUMN public.consent_texts.body IS 'Exactly what was shown.';
COMMENT ON COLUMN public.consent_texts.sha256 IS 'SHA-256 of the text in UTF-8.';
COMMENT ON COLUMN public.consent_texts.created_at IS 'When it was made known.';
COMMENT ON COLUMN public.consent_texts.created_by IS 'The login that did so.';
COMMENT ON TABLE public.communication_gdpr_consent_events IS
'Every consent and every withdrawal, the proof of GDPR Art 7(1): only added to, for its owner too.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.event_id IS 'The event, a UUIDv7; recipients name it.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.address_hash IS
'Who: keyed hash of the normalised address. The address itself is never in the proof.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.channel IS 'email, sms or push.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.purpose IS 'For what, such as wedding_updates.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.event IS 'given or withdrawn.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.guest_id IS 'The guest with that address, if there was one.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.consent_version IS
'The text that was shown; of a withdrawal the one that was consented to.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.method IS 'How: form, double_opt_in, spoken …';
COMMENT ON COLUMN public.communication_gdpr_consent_events.source IS
'Where: the page, the file, or the recipient of the message whose link was followed.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.ip_address IS 'From which address it came.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.user_agent IS 'With which program.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.actor IS 'Who entered it, if not the guest.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.occurred_at IS 'When it was said.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.recorded_at IS 'When it was written here.';
COMMENT ON COLUMN public.communication_gdpr_consent_events.recorded_by IS 'The login that wrote it.';
COMMENT ON TABLE public.communication_gdpr_consent IS
'Whether consent holds now: one row per address, channel and purpose. No row: none was ever given.';
COMMENT ON COLUMN public.communication_gdpr_consent.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.communication_gdpr_consent.address_hash IS
'Keyed hash of the normalised address; joins with guests and recipients.';
COMMENT ON COLUMN public.communication_gdpr_consent.channel IS 'email, sms or push.';
COMMENT ON COLUMN public.communication_gdpr_consent.purpose IS 'For what.';
COMMENT ON COLUMN public.communication_gdpr_consent.id IS 'consent_event_id under the name that queries count.';
COMMENT ON COLUMN public.communication_gdpr_consent.consent_event_id IS 'The event that made it so.';
COMMENT ON COLUMN public.communication_gdpr_consent.guest_id IS 'The guest with that address, if there is one.';
COMMENT ON COLUMN public.communication_gdpr_consent.guest_email IS
'The address as it was given, for channel email; NULL once erased.';
COMMENT ON COLUMN public.communication_gdpr_consent.consent_given IS 'true: it holds; false: it was withdrawn.';
COMMENT ON COLUMN public.communication_gdpr_consent.consent_version IS 'The text that was consented to.';
COMMENT ON COLUMN public.communication_gdpr_consent.given_at IS 'When it was last given.';
COMMENT ON COLUMN public.communication_gdpr_consent.withdrawn_at IS 'When it was last withdrawn.';
COMMENT ON COLUMN public.communication_gdpr_consent.updated_at IS 'When the row last changed.';
COMMENT ON TABLE public.communication_canspam_compliance IS
'Checks of messages against 15 USC 7704. Every value is computed from the message, whatever an INSERT claims.';
COMMENT ON COLUMN public.communication_canspam_compliance.organization_id IS 'The tenant, that of the communication.';
COMMENT ON COLUMN public.communication_canspam_compliance.validation_id IS 'The check, a UUIDv7.';
COMMENT ON COLUMN public.communication_canspam_compliance.communication_id IS 'The communication that was checked.';
COMMENT ON COLUMN public.communication_canspam_compliance.has_unsubscribe_link IS
'Every recipient gets a working way out in the message.';
COMMENT ON COLUMN public.communication_canspam_compliance.has_physical_address IS
'The sender''s postal address is in the message.';
COMMENT ON COLUMN public.communication_canspam_compliance.has_clear_sender IS
'The sender is named, and an e-mail has a proper from address.';
COMMENT ON COLUMN public.communication_canspam_compliance.subject_line_accurate IS
'What a person said about the subject; NULL: nobody has assessed it, and no program can.';
COMMENT ON COLUMN public.communication_canspam_compliance.subject_assessed_by IS 'That person.';
COMMENT ON COLUMN public.communication_canspam_compliance.subject_assessed_at IS 'When.';
COMMENT ON COLUMN public.communication_canspam_compliance.compliance_score IS
'Per cent of the duties that apply to the message and can be checked.';
COMMENT ON COLUMN public.communication_canspam_compliance.findings IS 'Every check: applies, passed, and why.';
COMMENT ON COLUMN public.communication_canspam_compliance.validator_version IS 'The version of the rules.';
COMMENT ON COLUMN public.communication_canspam_compliance.validation_timestamp IS 'When it was checked.';
COMMENT ON COLUMN public.communication_canspam_compliance.validated_by IS 'The login that had it checked.';
COMMENT ON TABLE public.communication_data_retention IS
'How long what is kept, for every organization. apply_data_retention() does it and writes down what it did.';
COMMENT ON COLUMN public.communication_data_retention.rule IS 'Name of the rule.';
COMMENT ON COLUMN public.communication_data_retention.data_class IS 'What it is about: a table.';
COMMENT ON COLUMN public.communication_data_retention.action IS
'archive: out of the lists; anonymise: without personal data; drop_partition: whole months; delete: rows.';
COMMENT ON COLUMN public.communication_data_retention.retention_period IS 'After how long.';
COMMENT ON COLUMN public.communication_data_retention.legal_basis IS 'Why so long and no longer.';
COMMENT ON COLUMN public.communication_data_retention.enabled IS 'false: the rule rests.';
COMMENT ON COLUMN public.communication_data_retention.last_run_at IS 'When it was last applied.';
COMMENT ON COLUMN public.communication_data_retention.last_result IS 'What was done then, and what was left and why.';
COMMENT ON TABLE public.legal_holds IS
'What must be kept for a dispute (GDPR Art 17(3)(e)): neither erasure nor retention touches it.';
COMMENT ON COLUMN public.legal_holds.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.legal_holds.hold_id IS 'The hold, a UUIDv7.';
COMMENT ON COLUMN public.legal_holds.guest_id IS 'Everything about this guest …';
COMMENT ON COLUMN public.legal_holds.communication_id IS
'… or everything about this communication; neither: all of the organization.';
COMMENT ON COLUMN public.legal_holds.reason IS 'Which dispute.';
COMMENT ON COLUMN public.legal_holds.placed_at IS 'Since when.';
COMMENT ON COLUMN public.legal_holds.placed_by IS 'The login that placed it.';
COMMENT ON COLUMN public.legal_holds.lifted_at IS 'Until when; NULL: it holds.';
COMMENT ON COLUMN public.legal_holds.lifted_by IS 'The login that lifted it.';
COMMENT ON TABLE public.data_subject_requests IS 'What people asked for under GDPR Art 15 to 22, and until when.';
COMMENT ON COLUMN public.data_subject_requests.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.data_subject_requests.request_id IS 'The request, a UUIDv7.';
COMMENT ON COLUMN public.data_subject_requests.guest_id IS 'Who asked.';
COMMENT ON COLUMN public.data_subject_requests.kind IS 'For what.';
COMMENT ON COLUMN public.data_subject_requests.received_at IS 'When it arrived.';
COMMENT ON COLUMN public.data_subject_requests.due_at IS
'To be answered by then: one month (Art 12(3)), three if it was extended.';
COMMENT ON COLUMN public.data_subject_requests.extension_reason IS
'Why it takes longer, as the person was told.';
COMMENT ON COLUMN public.data_subject_requests.note IS 'Anything else, without personal data.';
COMMENT ON COLUMN public.data_subject_requests.opened_at IS 'When it was entered.';
COMMENT ON COLUMN public.data_subject_requests.opened_by IS 'The login that entered it.';
COMMENT ON COLUMN public.data_subject_requests.outcome IS 'fulfilled, refused or withdrawn.';
COMMENT ON COLUMN public.data_subject_requests.outcome_reason IS 'Why it was refused (Art 12(4)).';
COMMENT ON COLUMN public.data_subject_requests.closed_at IS 'When it was answered.';
COMMENT ON COLUMN public.data_subject_requests.closed_by IS 'The login that closed it.';
COMMENT ON TABLE public.processing_records IS 'Records of processing activities, GDPR Art 30.';
COMMENT ON COLUMN public.processing_records.organization_id IS 'The tenant, the controller.';
COMMENT ON COLUMN public.processing_records.activity IS 'Name of the activity.';
COMMENT ON COLUMN public.processing_records.purposes IS 'Why it is done.';
COMMENT ON COLUMN public.processing_records.lawful_basis IS 'On which basis (Art 6).';
COMMENT ON COLUMN public.processing_records.subject_categories IS 'About whom.';
COMMENT ON COLUMN public.processing_records.data_categories IS 'Which data.';
COMMENT ON COLUMN public.processing_records.recipient_categories IS 'Who gets them.';
COMMENT ON COLUMN public.processing_records.transfers IS 'Third countries and the safeguards; NULL: none.';
COMMENT ON COLUMN public.processing_records.retention_rules IS
'Rules in communication_data_retention that end it.';
COMMENT ON COLUMN public.processing_records.security_measures IS 'How it is protected (Art 32).';
COMMENT ON COLUMN public.processing_records.contact IS 'The controller''s contact.';
COMMENT ON COLUMN public.processing_records.updated_at IS 'When it last changed.';
COMMENT ON COLUMN public.processing_records.updated_by IS 'The login that changed it.';
