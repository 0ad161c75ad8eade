INSERT INTO communication_encryption_keys (key_id, key_type, encrypted_key, key_version)
VALUES ('master_key_1', 'master', encrypt_key(generate_random_key()), 1);
SELECT internal.field_key(organization_id) FROM organizations;
SELECT internal.field_key_of(organization_id, 1) FROM organizations;
SELECT internal.address_hash(organization_id, 'email', 'a@example.com') FROM organizations;
