-- Rotate encryption keys monthly
INSERT INTO communication_encryption_keys (
  key_id,
  key_type,
  algorithm,
  encrypted_key,
  key_version
) VALUES (
  'master_key_' || to_char(NOW(), 'YYYYMM'),
  'master',
  'AES-256-GCM',
  encrypt_key(generate_random_key()),
  (SELECT COALESCE(MAX(key_version), 0) + 1 FROM communication_encryption_keys WHERE key_type = 'master')
);
