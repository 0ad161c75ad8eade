SELECT internal.aes256_gcm_decrypt(key, internal.aes256_gcm_encrypt(key, 'x', ''), '')
FROM (SELECT decode(repeat('00', 32), 'hex') AS key);
SELECT internal.unwrap_key(internal.wrap_key(decode(repeat('00', 32), 'hex'), ''), '');
-- as wedsync_ops
SELECT destroy_organization_keys(closed.organization_id, 'Closed') FROM create_organization(NULL, 'Closed') AS closed;
SELECT * FROM rewrap_master_keys(decode(repeat('00', 32), 'hex'));
