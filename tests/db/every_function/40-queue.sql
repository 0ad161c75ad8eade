-- One chunk of three recipients: one sent, one failing for now, one that nobody answers for.
INSERT INTO public.guest_communications (
    organization_id, id, created_at, message_title, message_type, message_category, purpose, lawful_basis, subject,
    body, compiled, status, total_recipients, queued_count
)
SELECT '018f0000-0000-7000-8000-000000000001', new.id, internal.uuid_v7_time(new.id), 'Queue', 'email',
    'transactional', 'wedding', 'contract', 'Hello', 'Hello', '{}', 'sending', 3, 3
FROM (SELECT overlay(internal.uuid_v7()::text PLACING '7000-8000-0000000000ff' FROM 15)::uuid) AS new (id);
INSERT INTO public.communication_recipients (
    organization_id, id, communication_id, communication_created_at, recipient_key, channel, recipient_email,
    address_hash, lawful_basis
)
SELECT message.organization_id, overlay(message.id::text PLACING '00000' || number FROM 31)::uuid, message.id,
    message.created_at, gen_random_uuid(), 'email', number || '@example.com',
    sha256(convert_to(number::text, 'UTF8')), 'contract'
FROM public.guest_communications AS message CROSS JOIN generate_series(1, 3) AS number
WHERE message.message_title = 'Queue';
INSERT INTO public.communication_batch_queue (
    organization_id, batch_id, operation_type, channel, communication_id, communication_created_at,
    first_recipient_id, last_recipient_id, recipients, priority
)
SELECT message.organization_id, 'every-function', 'send', message.message_type, message.id, message.created_at,
    overlay(message.id::text PLACING '000001' FROM 31)::uuid,
    overlay(message.id::text PLACING '000003' FROM 31)::uuid, 3, 1
FROM public.guest_communications AS message WHERE message.message_title = 'Queue';
-- as wedsync_ops
SELECT freeze_sending('every function');
SELECT thaw_sending();
INSERT INTO communication_batch_queue (batch_id, operation_type, payload, priority)
VALUES ('every-function-workers', 'scale_workers', '{"worker_count": 2}', 1);
-- as wedsync_worker
SELECT acknowledge_worker_count('every function', batch_id) FROM wanted_workers();
SELECT
    extend_lease(claimed.organization_id, claimed.batch_id, claimed.lease_token),
    complete_batch(
        claimed.organization_id, claimed.batch_id, claimed.lease_token,
        jsonb_build_array(
            jsonb_build_object(
                'recipient_id', claimed.recipient_ids[1], 'outcome', 'sent', 'provider', 'smtp',
                'provider_message_id', 'every-function'
            )
        )
    )
FROM claim_batches('every function', 1, '1 minute', 1) AS claimed;
SELECT complete_batch(claimed.organization_id, claimed.batch_id, claimed.lease_token, '[]')
FROM claim_batches('every function', 1, '1 minute', 1) AS claimed;
SELECT fail_batch(claimed.organization_id, claimed.batch_id, claimed.lease_token, 'every function', false)
FROM claim_batches('every function', 1, '1 minute', 1) AS claimed;
SELECT record_delivery_events(
    '018f0000-0000-7000-8000-000000000001',
    '[{"provider": "smtp", "provider_event_id": "1", "provider_message_id": "every-function", "status": "delivered",
    "occurred_at": "2026-01-01T12:00:00Z"},
    {"provider": "smtp", "provider_event_id": "2", "provider_message_id": "other", "status": "delivered",
    "occurred_at": "2026-01-01T12:00:00Z"}]'
);
DO $$
BEGIN
    PERFORM record_delivery_events(
        '018f0000-0000-7000-8000-000000000001',
        '[{"provider": "smtp", "provider_event_id": "3", "recipient_id": "no uuid", "status": "delivered",
        "occurred_at": "2026-01-01T12:00:00Z"}]'
    );
EXCEPTION WHEN SQLSTATE 'GC381' THEN
    NULL;
END
$$;
-- as wedsync_ops
SELECT redrive_dead_letters('018f0000-0000-7000-8000-000000000001');
SELECT resolve_unknown(organization_id, id, 'queue_again', 'every function')
FROM guest_communications WHERE message_title = 'Queue';
-- as guestcomms_cron
SELECT internal.tend_queue();
SELECT internal.match_delivery_events();
SELECT internal.roll_up_counters();
