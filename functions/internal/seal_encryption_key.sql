CREATE OR REPLACE FUNCTION internal.seal_encryption_key() RETURNS trigger
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Accept only a key that opens, and bind it to its row.
   A new key of the platform comes from encrypt_key(), wrapped for no row: it is sealed again for this one, the key
   that was active before it is retired, and the audit notes it. Of a master not even the value stays: whoever made
   it with generate_random_key() may have seen it, so the row gets another one, which nobody has.
   A data key, and any key that changes, must open as it is.
   Raises GC210 if it does not, GC211 if its master cannot be had, GC203 without a key-encryption key. */
DECLARE
    v_context constant bytea := internal.key_context(
        NEW.organization_id, NEW.key_id, NEW.key_type, NEW.purpose, NEW.key_version
    );
    v_key bytea;
BEGIN
    IF NEW.encrypted_key IS NULL THEN
        RETURN NEW; -- destroyed, or refused by a CHECK
    ELSIF NEW.key_type = 'data' THEN
        v_key := internal.aes256_gcm_decrypt(
            internal.master_key(NEW.parent_key_id), NEW.encrypted_key, v_context
        );
    ELSIF TG_OP = 'UPDATE' THEN
        v_key := internal.unwrap_key(NEW.encrypted_key, v_context);
    ELSE
        v_key := internal.unwrap_key(NEW.encrypted_key, convert_to('guestcomms key without a row', 'UTF8'));
        IF NEW.key_type = 'master' THEN
            v_key := public.generate_random_key();
        END IF;
        NEW.encrypted_key := internal.wrap_key(v_key, v_context);
        UPDATE public.communication_encryption_keys AS older
        SET state = 'decrypt_only', retired_at = clock_timestamp()
        WHERE
            older.organization_id = NEW.organization_id AND older.key_type = NEW.key_type
            AND older.purpose = NEW.purpose AND older.state = 'active';
        PERFORM internal.record_security_event(
            NULL, 'key_change', SESSION_USER, NULL, true,
            jsonb_build_object('key_id', NEW.key_id, 'key_type', NEW.key_type, 'key_version', NEW.key_version)
        );
    END IF;
    RETURN NEW;
EXCEPTION WHEN SQLSTATE 'GC202' THEN
    RAISE EXCEPTION 'the value of key "%" does not open under the key that should wrap it', NEW.key_id
    USING ERRCODE = 'GC210', HINT = 'Insert encrypt_key(generate_random_key()), made on this cluster.';
END
$plpgsql$;

COMMENT ON FUNCTION internal.seal_encryption_key() IS
'Trigger: refuses (GC210) a key that does not open, binds a new one to its row and retires the one before.';
REVOKE ALL ON FUNCTION internal.seal_encryption_key() FROM PUBLIC;

CREATE OR REPLACE TRIGGER seal_encryption_key
BEFORE INSERT OR UPDATE OF organization_id, key_id, key_type, purpose, key_version, parent_key_id, encrypted_key
ON public.communication_encryption_keys
FOR EACH ROW EXECUTE FUNCTION internal.seal_encryption_key();
