-- as wedsync_ops
INSERT INTO communication_encryption_keys (key_id, key_type, encrypted_key, key_version)
VALUES ('master_key_1', 'master', encrypt_key(generate_random_key()), 1);
SELECT assess_risk(NULL, 'authentication', 'somebody', '203.0.113.7', false);
-- as postgres
SELECT internal.field_key(organization_id) FROM organizations;
SELECT internal.field_key_of(organization_id, 1) FROM organizations;
SELECT internal.address_hash(organization_id, 'email', 'a@example.com') FROM organizations;
-- as wedsync_ops
SELECT rotate_encryption_keys('data', '0');
SELECT rotate_encryption_keys('master', '0');
SELECT encryption_status();
SELECT security_summary();
-- as wedsync_app
SELECT log_security_event('018f0000-0000-7000-8000-000000000001', 'authentication', 'user 1', '192.0.2.1', false);
SELECT check_rate_limit('018f0000-0000-7000-8000-000000000001', 'user 1', 'bulk_send');
-- as guestcomms_cron
SELECT internal.expire_rate_limits();
