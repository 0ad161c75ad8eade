INSERT INTO guests (organization_id, guest_id, name)
VALUES ('018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000060', 'Gail');
INSERT INTO guest_communications (
    organization_id, id, created_at, message_title, message_type, message_category, purpose, lawful_basis, subject,
    body, compiled
)
SELECT
    '018f0000-0000-7000-8000-000000000001', id, internal.uuid_v7_time(id), 'Compliance', 'email', 'commercial',
    'offers', 'legitimate_interest', 'Offer', 'Buy', '{}'
FROM internal.uuid_v7() AS id;
INSERT INTO communication_recipients (
    organization_id, id, communication_id, communication_created_at, guest_id, recipient_key, channel,
    recipient_email, address_hash, lawful_basis
)
SELECT
    organization_id, overlay(id::text PLACING 'a60000000000' FROM 25)::uuid, id, created_at,
    '018f0000-0000-7000-8000-000000000060', '018f0000-0000-7000-8000-000000000060', 'email', 'g@example.com',
    internal.address_hash(organization_id, 'email', 'g@example.com'), lawful_basis
FROM guest_communications WHERE message_title = 'Compliance';
SELECT unsubscribe(internal.unsubscribe_token(organization_id, id)) FROM communication_recipients
WHERE recipient_email = 'g@example.com';
-- as wedsync_app
SELECT create_consent_text('018f0000-0000-7000-8000-000000000001', '1', 'Yes.');
SELECT record_consent('018f0000-0000-7000-8000-000000000001', 'c@example.com', 'email', 'newsletter', '1', 'form');
SELECT withdraw_consent('018f0000-0000-7000-8000-000000000001', 'c@example.com', 'email', 'newsletter');
SELECT set_preferences(
    '018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000060', 'email', '{"allowed": true}'
);
