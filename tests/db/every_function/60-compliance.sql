INSERT INTO guests (organization_id, guest_id, name)
VALUES ('018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000060', 'Gail');
INSERT INTO guest_communications (
    organization_id, id, created_at, message_title, message_type, message_category, purpose, lawful_basis, subject,
    body, compiled, unsubscribe_url
)
SELECT
    '018f0000-0000-7000-8000-000000000001', id, internal.uuid_v7_time(id), 'Compliance', 'email', 'commercial',
    'offers', 'legitimate_interest', 'Offer', 'Buy', '{}', 'https://example.com/u/'
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
SELECT * FROM record_consents(
    '018f0000-0000-7000-8000-000000000001',
    '[{"address": "d@example.com"}, {"address": "+4930123456", "channel": "sms"}]',
    '{"channel": "email", "purpose": "newsletter", "consent_version": "1", "method": "import", "source": "list.csv"}'
);
SELECT withdraw_consent('018f0000-0000-7000-8000-000000000001', 'c@example.com', 'email', 'newsletter');
SELECT set_preferences(
    '018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000060', 'email', '{"allowed": true}'
);
BEGIN;
SELECT enter_tenant('018f0000-0000-7000-8000-000000000001');
SELECT validate_canspam_compliance(organization_id, id) FROM guest_communications WHERE message_title = 'Compliance';
SELECT assess_subject_line(organization_id, id, true, 'Ann Lee') FROM guest_communications
WHERE message_title = 'Compliance';
SELECT set_processing_record(
    '018f0000-0000-7000-8000-000000000001', 'Messages to guests', 'To invite', 'contract', '{guests}', '{addresses}',
    '{providers}', 'Encryption', 'privacy@example.com'
);
SELECT open_data_subject_request(
    '018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000060', 'erasure'
);
SELECT extend_data_subject_request(organization_id, request_id, 'Complex') FROM data_subject_requests;
SELECT lift_legal_hold(held.organization_id, held.hold_id)
FROM place_legal_hold(
    '018f0000-0000-7000-8000-000000000001', 'Dispute', '018f0000-0000-7000-8000-000000000060'
) AS held;
SELECT export_guest_data('018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000060');
SELECT erase_guest('018f0000-0000-7000-8000-000000000001', '018f0000-0000-7000-8000-000000000060');
SELECT close_data_subject_request(organization_id, request_id, 'fulfilled') FROM data_subject_requests;
COMMIT;
-- as wedsync_auditor
SELECT consent_gaps('1 day');
SELECT compliance_report(now() - interval '1 day', now());
-- as guestcomms_cron
SELECT apply_data_retention(true);
SELECT internal.why_month_is_kept('delivery_status', '1999-01-01', '1999-02-01', now());
SELECT internal.lock_month('public.delivery_status', '1999-01-01');
SELECT internal.drop_month('public.delivery_status', '1999-01-01');
-- as wedsync_app
SELECT can_contact('018f0000-0000-7000-8000-000000000001', 'c@example.com', 'email', 'newsletter');
