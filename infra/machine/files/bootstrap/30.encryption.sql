-- Authenticated encryption. Callers are functions of comms_owner, and those of comms_maintenance, which serve
-- every tenant: who may encrypt or read what is decided there. Wrapping is for comms_owner alone.
-- Keys pass as parameters, and parameters are never logged (pgaudit.log_parameter = off).

CREATE OR REPLACE FUNCTION internal.aes256_gcm_encrypt(p_key bytea, p_plaintext bytea, p_associated_data bytea)
RETURNS bytea
LANGUAGE plpython3u VOLATILE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
"""Random 12-byte nonce, then ciphertext with its 16-byte tag (NIST SP 800-38D)."""
import os
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if len(p_key) != 32:
    plpy.error(f"an AES-256 key has 32 bytes, this one has {len(p_key)}", sqlstate="GC201",
               hint="Make keys with generate_random_key().")
nonce = os.urandom(12)
return nonce + AESGCM(p_key).encrypt(nonce, p_plaintext, p_associated_data)
$python$;

CREATE OR REPLACE FUNCTION internal.aes256_gcm_decrypt(p_key bytea, p_ciphertext bytea, p_associated_data bytea)
RETURNS bytea
LANGUAGE plpython3u IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
"""The plaintext, or an error if key, associated data or a single bit of the ciphertext differ."""
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

if len(p_key) != 32:
    plpy.error(f"an AES-256 key has 32 bytes, this one has {len(p_key)}", sqlstate="GC201",
               hint="Unwrap the key first.")
if len(p_ciphertext) < 28:
    plpy.error(f"a ciphertext has at least 28 bytes, this one has {len(p_ciphertext)}", sqlstate="GC202",
               hint="Check that the column was read whole.")
try:
    return AESGCM(p_key).decrypt(p_ciphertext[:12], p_ciphertext[12:], p_associated_data)
except InvalidTag:
    plpy.error("the ciphertext does not open with this key and associated data", sqlstate="GC202",
               hint="It was changed, moved to another row or column, or made with another key.")
$python$;

-- Who owns this function reads the key-encryption key's file as the operating system's user postgres:
-- the path is fixed, because a setting could be changed by the session that wants a weaker key used.
CREATE OR REPLACE FUNCTION internal.wrap_key(p_key bytea, p_associated_data bytea)
RETURNS bytea
LANGUAGE plpython3u VOLATILE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
"""The key, encrypted with the key-encryption key of this machine, which never leaves this function."""
import base64, binascii, os
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

path = "/etc/guestcomms/keys/key_encryption_key"
if len(p_key) != 32:
    plpy.error(f"an AES-256 key has 32 bytes, this one has {len(p_key)}", sqlstate="GC201",
               hint="Make keys with generate_random_key().")
try:
    with open(path, "rb") as file:
        encryption_key = base64.b64decode(file.read().strip(), validate=True)
except (OSError, binascii.Error) as error:
    plpy.error(f"the key-encryption key {path} cannot be read: {error}", sqlstate="GC203",
               hint="Run `systemctl restart guestcomms-prepare` on this machine.")
if len(encryption_key) != 32:
    plpy.error(f"the key-encryption key {path} is not 32 bytes in base64", sqlstate="GC203",
               hint="Restore it from escrow, then run `systemctl restart guestcomms-prepare`.")
nonce = os.urandom(12)
return nonce + AESGCM(encryption_key).encrypt(nonce, p_key, p_associated_data)
$python$;

CREATE OR REPLACE FUNCTION internal.unwrap_key(p_wrapped_key bytea, p_associated_data bytea)
RETURNS bytea
LANGUAGE plpython3u STABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $python$
"""The key that wrap_key() wrapped, or an error if it was wrapped under another key-encryption key."""
import base64, binascii
from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESGCM

path = "/etc/guestcomms/keys/key_encryption_key"
try:
    with open(path, "rb") as file:
        encryption_key = base64.b64decode(file.read().strip(), validate=True)
except (OSError, binascii.Error) as error:
    plpy.error(f"the key-encryption key {path} cannot be read: {error}", sqlstate="GC203",
               hint="Run `systemctl restart guestcomms-prepare` on this machine.")
if len(encryption_key) != 32:
    plpy.error(f"the key-encryption key {path} is not 32 bytes in base64", sqlstate="GC203",
               hint="Restore it from escrow, then run `systemctl restart guestcomms-prepare`.")
if len(p_wrapped_key) != 60:
    plpy.error(f"a wrapped key has 60 bytes, this one has {len(p_wrapped_key)}", sqlstate="GC202",
               hint="Check that the column was read whole.")
try:
    return AESGCM(encryption_key).decrypt(p_wrapped_key[:12], p_wrapped_key[12:], p_associated_data)
except InvalidTag:
    plpy.error("the key does not unwrap under this machine's key-encryption key", sqlstate="GC202",
               hint="It belongs to another row, or was wrapped under another key-encryption key.")
$python$;

REVOKE ALL ON FUNCTION
internal.aes256_gcm_encrypt(bytea, bytea, bytea), internal.aes256_gcm_decrypt(bytea, bytea, bytea),
internal.wrap_key(bytea, bytea), internal.unwrap_key(bytea, bytea)
FROM PUBLIC;
GRANT EXECUTE ON FUNCTION
internal.aes256_gcm_encrypt(bytea, bytea, bytea), internal.aes256_gcm_decrypt(bytea, bytea, bytea),
internal.wrap_key(bytea, bytea), internal.unwrap_key(bytea, bytea)
TO comms_owner;
GRANT EXECUTE ON FUNCTION
internal.aes256_gcm_encrypt(bytea, bytea, bytea), internal.aes256_gcm_decrypt(bytea, bytea, bytea)
TO comms_maintenance;

COMMENT ON FUNCTION internal.aes256_gcm_encrypt(bytea, bytea, bytea) IS
'Encrypts under a 32-byte key: random nonce, ciphertext and tag. The associated data must be given again to decrypt.';
COMMENT ON FUNCTION internal.aes256_gcm_decrypt(bytea, bytea, bytea) IS
'Decrypts what aes256_gcm_encrypt made; refuses (GC202) if key, associated data or ciphertext differ in one bit.';
COMMENT ON FUNCTION internal.wrap_key(bytea, bytea) IS
'Encrypts a 32-byte key under the key-encryption key of the machine, which is a file and never in the database.';
COMMENT ON FUNCTION internal.unwrap_key(bytea, bytea) IS
'Decrypts what wrap_key made; refuses (GC202) a key of another key-encryption key or another row.';
