-- as wedsync_app
BEGIN;
SELECT create_template(
    '018f0000-0000-7000-8000-000000000001', 'Invitation', 'email', 'For {{guest_name}}',
    '<p>Dear {{guest_name|guest}}, <a href="{{rsvp_url}}">answer</a></p>', 'Dear {{guest_name}}'
);
SELECT publish_template(organization_id, template_id) FROM message_templates;
SELECT render_template(organization_id, template_id, '{"guest_name": "Ann", "rsvp_url": "https://example.org/"}')
FROM message_templates;
SELECT create_template('018f0000-0000-7000-8000-000000000001', 'Old', 'sms', NULL, 'Dinner at 8');
SELECT archive_template(organization_id, template_id) FROM message_templates WHERE name = 'Old';
COMMIT;
