-- as wedsync_app
SELECT create_communication(
    '018f0000-0000-7000-8000-000000000001', 'Sent by every function', 'email', 'wedding_updates',
    p_subject => 'Hello', p_body => '<p>Dear {{guest_name}}, {{news}}</p>', p_idempotency_key => 'every function'
);
SELECT bulk_send(
    '018f0000-0000-7000-8000-000000000001', communication.id,
    p_recipients => '[{"email": "somebody@example.org", "personalisation": {"news": "hello"}}]',
    p_idempotency_key => 'every function, sent'
)
FROM create_communication(
    '018f0000-0000-7000-8000-000000000001', 'Sent by every function', 'email', 'wedding_updates',
    p_subject => 'Hello', p_body => '<p>Dear {{guest_name}}, {{news}}</p>', p_idempotency_key => 'every function'
) AS communication;
SELECT bulk_send('018f0000-0000-7000-8000-000000000001', communication.id, p_all_guests => true)
FROM create_communication(
    '018f0000-0000-7000-8000-000000000001', 'To all', 'in_app', 'wedding_updates', p_body => 'Hello'
) AS communication;
SELECT schedule_communication('018f0000-0000-7000-8000-000000000001', listed.id, now() + interval '1 hour')
FROM list_communications('018f0000-0000-7000-8000-000000000001', p_type => 'in_app') AS listed;
SELECT cancel_communication('018f0000-0000-7000-8000-000000000001', listed.id)
FROM list_communications('018f0000-0000-7000-8000-000000000001', p_type => 'in_app') AS listed;
SELECT communication_progress('018f0000-0000-7000-8000-000000000001', listed.id),
    list_recipients('018f0000-0000-7000-8000-000000000001', listed.id)
FROM list_communications('018f0000-0000-7000-8000-000000000001') AS listed;
BEGIN;
SELECT enter_tenant('018f0000-0000-7000-8000-000000000001');
SELECT create_communication(
    organization_id, 'From a template', 'email', 'wedding_updates', p_template_id => template_id
)
FROM message_templates WHERE name = 'Invitation';
COMMIT;
-- as postgres
SELECT internal.next_allowed_at(now(), 'UTC', '08:00', '20:00', '19:00', '09:00');
SELECT internal.capped_messages('018f0000-0000-7000-8000-000000000001', internal.uuid_v7(), 'email', now());
