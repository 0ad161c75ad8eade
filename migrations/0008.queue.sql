-- The queue of chunks, its dead letters, idempotency keys, and the brake that stops all sending.
-- A row is up to 1000 recipients with neighbouring keys, never one recipient.
-- Locks: none, everything is new.
CREATE TABLE public.communication_batch_queue (
    -- Control messages are of no tenant: they carry the nil UUID (RFC 9562, 5.9), which is no organization.
    organization_id uuid NOT NULL DEFAULT '00000000-0000-0000-0000-000000000000',
    batch_id text NOT NULL CHECK (pg_catalog.length(batch_id) BETWEEN 1 AND 200),
    operation_type text NOT NULL CHECK (operation_type IN ('send', 'scale_workers')),
    channel text CHECK (channel IN ('email', 'sms', 'push', 'in_app')),
    payload jsonb NOT NULL DEFAULT '{}' CHECK (pg_catalog.jsonb_typeof(payload) = 'object'),
    priority smallint NOT NULL DEFAULT 5 CHECK (priority BETWEEN 1 AND 9),
    state text NOT NULL DEFAULT 'ready' CHECK (state IN ('scheduled', 'ready', 'leased', 'acknowledged')),
    run_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    fair_rank bigint NOT NULL DEFAULT 0,
    communication_id uuid,
    communication_created_at timestamptz,
    first_recipient_id uuid,
    last_recipient_id uuid,
    recipients integer CHECK (recipients BETWEEN 1 AND 1000),
    lease_token uuid,
    leased_by text CHECK (pg_catalog.length(leased_by) BETWEEN 1 AND 200),
    leased_at timestamptz,
    handed_out smallint,
    lease_until timestamptz,
    attempts smallint NOT NULL DEFAULT 0,
    max_attempts smallint NOT NULL DEFAULT 5 CHECK (max_attempts BETWEEN 1 AND 100),
    last_error text CHECK (pg_catalog.length(last_error) <= 4000),
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    created_by name NOT NULL DEFAULT session_user,
    PRIMARY KEY (organization_id, batch_id),
    FOREIGN KEY (organization_id, communication_id, communication_created_at)
    REFERENCES public.guest_communications (organization_id, id, created_at),
    CONSTRAINT communication_batch_queue_control CHECK (
        (operation_type = 'send') = (organization_id <> '00000000-0000-0000-0000-000000000000')
    ),
    CONSTRAINT communication_batch_queue_chunk CHECK (
        pg_catalog.num_nonnulls(
            channel, communication_id, communication_created_at, first_recipient_id, last_recipient_id, recipients
        ) = CASE operation_type WHEN 'send' THEN 6 ELSE 0 END
    ),
    CONSTRAINT communication_batch_queue_lease CHECK (
        pg_catalog.num_nonnulls(lease_token, leased_by, leased_at, handed_out, lease_until)
        = CASE state WHEN 'leased' THEN 5 ELSE 0 END
    ),
    CONSTRAINT communication_batch_queue_workers CHECK (
        operation_type <> 'scale_workers'
        OR (payload ->> 'worker_count' ~ '^[0-9]{1,4}$' AND state IN ('ready', 'acknowledged'))
    )
)
-- Every row dies soon: it is updated at claim and deleted when done.
WITH (
    fillfactor = 70, autovacuum_vacuum_scale_factor = 0, autovacuum_vacuum_threshold = 500,
    autovacuum_vacuum_cost_delay = 0, autovacuum_analyze_scale_factor = 0, autovacuum_analyze_threshold = 1000
);
ALTER TABLE public.communication_batch_queue ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.communication_batch_queue FORCE ROW LEVEL SECURITY;
-- claim_batches(): the next chunk of a channel, organizations in turn.
CREATE INDEX communication_batch_queue_ready ON public.communication_batch_queue
(channel, fair_rank, organization_id, batch_id) WHERE state = 'ready' AND operation_type = 'send';
-- The most urgent chunk of the organization whose turn it is; the rank of a new one follows its last one.
CREATE INDEX communication_batch_queue_rank ON public.communication_batch_queue
(organization_id, channel, priority, fair_rank) WHERE state = 'ready' AND operation_type = 'send';
-- What has become due, and which leases have ended.
CREATE INDEX communication_batch_queue_due ON public.communication_batch_queue (run_at) WHERE state = 'scheduled';
CREATE INDEX communication_batch_queue_leases ON public.communication_batch_queue (lease_until) WHERE state = 'leased';
-- Schedule, cancel and progress of one communication.
CREATE INDEX communication_batch_queue_communication ON public.communication_batch_queue
(organization_id, communication_id) WHERE communication_id IS NOT NULL;

-- Up to where claims have taken chunks of each channel, and in which second the queue was last tended.
-- Sequences, because they leave no dead rows: while a long transaction keeps those of the queue, a claim
-- begins behind them instead of reading them all again. Only hints: see claim_batches().
CREATE SEQUENCE internal.queue_front_email MINVALUE 0;
CREATE SEQUENCE internal.queue_front_sms MINVALUE 0;
CREATE SEQUENCE internal.queue_front_push MINVALUE 0;
CREATE SEQUENCE internal.queue_front_in_app MINVALUE 0;
CREATE SEQUENCE internal.queue_tended MINVALUE 0;
GRANT SELECT, UPDATE ON SEQUENCE
internal.queue_front_email, internal.queue_front_sms, internal.queue_front_push, internal.queue_front_in_app,
internal.queue_tended
TO comms_maintenance;

CREATE TABLE public.communication_dead_letters (
    organization_id uuid NOT NULL,
    dead_letter_id uuid NOT NULL DEFAULT internal.uuid_v7(),
    batch_id text NOT NULL,
    communication_id uuid NOT NULL,
    communication_created_at timestamptz NOT NULL,
    first_recipient_id uuid NOT NULL,
    last_recipient_id uuid NOT NULL,
    recipients integer NOT NULL CHECK (recipients >= 1),
    reason text NOT NULL CHECK (reason IN ('leases_lost', 'attempts_exhausted', 'rejected')),
    attempts smallint NOT NULL,
    last_error text CHECK (pg_catalog.length(last_error) <= 4000),
    dead_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    redriven_at timestamptz,
    redriven_by name,
    redriven_recipients integer,
    PRIMARY KEY (organization_id, dead_letter_id),
    FOREIGN KEY (organization_id, communication_id, communication_created_at)
    REFERENCES public.guest_communications (organization_id, id, created_at),
    CONSTRAINT communication_dead_letters_redriven CHECK (
        pg_catalog.num_nonnulls(redriven_at, redriven_by, redriven_recipients) IN (0, 3)
    )
);
ALTER TABLE public.communication_dead_letters ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.communication_dead_letters FORCE ROW LEVEL SECURITY;
-- Those of one communication, and those nobody has looked after.
CREATE INDEX communication_dead_letters_open ON public.communication_dead_letters
(organization_id, communication_id, dead_at) WHERE redriven_at IS NULL;

CREATE TABLE public.communication_idempotency (
    organization_id uuid NOT NULL REFERENCES public.organizations (organization_id),
    idempotency_key text NOT NULL CHECK (pg_catalog.length(idempotency_key) BETWEEN 1 AND 200),
    operation text NOT NULL,
    request_hash bytea NOT NULL CHECK (pg_catalog.length(request_hash) = 32),
    response jsonb,
    created_at timestamptz NOT NULL DEFAULT pg_catalog.now(),
    PRIMARY KEY (organization_id, idempotency_key)
);
ALTER TABLE public.communication_idempotency ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.communication_idempotency FORCE ROW LEVEL SECURITY;
-- Old keys are deleted by age.
CREATE INDEX communication_idempotency_created_at ON public.communication_idempotency USING brin (created_at);

CREATE TABLE internal.sending_state (
    only_row boolean PRIMARY KEY DEFAULT true CHECK (only_row),
    frozen boolean NOT NULL DEFAULT false,
    reason text CHECK (pg_catalog.length(reason) BETWEEN 1 AND 500),
    changed_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    changed_by name NOT NULL DEFAULT session_user,
    CONSTRAINT sending_state_reason CHECK (NOT frozen OR reason IS NOT NULL)
);
INSERT INTO internal.sending_state DEFAULT VALUES;

COMMENT ON TABLE public.communication_batch_queue IS
'What is to be sent, in chunks of up to 1000 recipients, and control messages. A finished chunk is deleted.';
COMMENT ON COLUMN public.communication_batch_queue.organization_id IS 'The tenant; the nil UUID for control messages.';
COMMENT ON COLUMN public.communication_batch_queue.batch_id IS 'The chunk: its first recipient when it was queued.';
COMMENT ON COLUMN public.communication_batch_queue.operation_type IS
'send, or scale_workers for the worker supervisor.';
COMMENT ON COLUMN public.communication_batch_queue.channel IS
'Of the communication: workers claim those that they speak.';
COMMENT ON COLUMN public.communication_batch_queue.payload IS 'Of control messages: {"worker_count": 10}.';
COMMENT ON COLUMN public.communication_batch_queue.priority IS
'1 is most urgent, 9 least, among chunks of the organization and channel.';
COMMENT ON COLUMN public.communication_batch_queue.state IS
'scheduled: not before run_at; ready; leased by a worker; acknowledged: a control message that was obeyed.';
COMMENT ON COLUMN public.communication_batch_queue.run_at IS 'Not claimed before then.';
COMMENT ON COLUMN public.communication_batch_queue.fair_rank IS
'Place in the queue: organizations take turns, measured in recipients.';
COMMENT ON COLUMN public.communication_batch_queue.communication_id IS 'The communication.';
COMMENT ON COLUMN public.communication_batch_queue.communication_created_at IS 'Its creation.';
COMMENT ON COLUMN public.communication_batch_queue.first_recipient_id IS 'The chunk is the recipients from this key …';
COMMENT ON COLUMN public.communication_batch_queue.last_recipient_id IS '… to this one, as far as they are queued.';
COMMENT ON COLUMN public.communication_batch_queue.recipients IS 'How many they were when it was queued.';
COMMENT ON COLUMN public.communication_batch_queue.lease_token IS
'Whoever holds it speaks for the chunk; a later claim has another one (fencing).';
COMMENT ON COLUMN public.communication_batch_queue.leased_by IS 'The worker.';
COMMENT ON COLUMN public.communication_batch_queue.leased_at IS
'When; sending_at of the recipients that went out under the lease says the same.';
COMMENT ON COLUMN public.communication_batch_queue.handed_out IS 'How many recipients went out under the lease.';
COMMENT ON COLUMN public.communication_batch_queue.lease_until IS 'When the lease ends, unless it is extended.';
COMMENT ON COLUMN public.communication_batch_queue.attempts IS
'Leases that ended without an answer, or with fail_batch().';
COMMENT ON COLUMN public.communication_batch_queue.max_attempts IS 'With that many the chunk becomes a dead letter.';
COMMENT ON COLUMN public.communication_batch_queue.last_error IS 'Why the last attempt ended.';
COMMENT ON COLUMN public.communication_batch_queue.created_at IS 'When it was queued.';
COMMENT ON COLUMN public.communication_batch_queue.created_by IS 'The login that queued it.';
COMMENT ON TABLE public.communication_dead_letters IS
'Recipients given up (failed, error_code dead_letter). redrive_dead_letters() queues them again.';
COMMENT ON COLUMN public.communication_dead_letters.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.communication_dead_letters.dead_letter_id IS 'The dead letter, a UUIDv7.';
COMMENT ON COLUMN public.communication_dead_letters.batch_id IS 'The chunk it was.';
COMMENT ON COLUMN public.communication_dead_letters.communication_id IS 'The communication.';
COMMENT ON COLUMN public.communication_dead_letters.communication_created_at IS 'Its creation.';
COMMENT ON COLUMN public.communication_dead_letters.first_recipient_id IS 'From this key …';
COMMENT ON COLUMN public.communication_dead_letters.last_recipient_id IS '… to this one.';
COMMENT ON COLUMN public.communication_dead_letters.recipients IS 'How many were given up.';
COMMENT ON COLUMN public.communication_dead_letters.reason IS
'leases_lost: its workers kept dying; attempts_exhausted: endless temporary errors; rejected: fail_batch() said so.';
COMMENT ON COLUMN public.communication_dead_letters.attempts IS 'How often it was tried.';
COMMENT ON COLUMN public.communication_dead_letters.last_error IS 'The last error.';
COMMENT ON COLUMN public.communication_dead_letters.dead_at IS 'When it was given up.';
COMMENT ON COLUMN public.communication_dead_letters.redriven_at IS 'When it was queued again.';
COMMENT ON COLUMN public.communication_dead_letters.redriven_by IS 'The login that did so.';
COMMENT ON COLUMN public.communication_dead_letters.redriven_recipients IS 'How many were queued again.';
COMMENT ON TABLE public.communication_idempotency IS
'Answers of calls with an idempotency key: the same call again gets the same answer and does nothing.';
COMMENT ON COLUMN public.communication_idempotency.organization_id IS 'The tenant.';
COMMENT ON COLUMN public.communication_idempotency.idempotency_key IS 'The caller''s key.';
COMMENT ON COLUMN public.communication_idempotency.operation IS 'The function it was given to.';
COMMENT ON COLUMN public.communication_idempotency.request_hash IS
'SHA-256 of the parameters: another request under the same key is refused.';
COMMENT ON COLUMN public.communication_idempotency.response IS 'The answer.';
COMMENT ON COLUMN public.communication_idempotency.created_at IS 'When it was first used; kept 30 days.';
COMMENT ON TABLE internal.sending_state IS 'One row: whether anything may be claimed.';
COMMENT ON COLUMN internal.sending_state.only_row IS 'There is one row.';
COMMENT ON COLUMN internal.sending_state.frozen IS 'true: claim_batches() gives nothing.';
COMMENT ON COLUMN internal.sending_state.reason IS 'Why it is frozen.';
COMMENT ON COLUMN internal.sending_state.changed_at IS 'Since when.';
COMMENT ON COLUMN internal.sending_state.changed_by IS 'By whom.';
