CREATE OR REPLACE FUNCTION internal.normalise_address(p_channel text, p_address text) RETURNS text
LANGUAGE sql IMMUTABLE PARALLEL SAFE
/* One spelling of an address. E-mail: without surrounding blanks, in small letters by a collation that is the same
   on every machine; dots and +tags stay, because only their provider knows what they mean. Telephone: without
   blanks, dots, hyphens and brackets, 00 for +. Anything else: as it is. Never change this: stored hashes depend
   on it. */
RETURN CASE
    WHEN p_channel = 'email' THEN pg_catalog.lower(pg_catalog.btrim(p_address) COLLATE pg_catalog.pg_c_utf8)
    WHEN p_channel = 'sms'
        THEN pg_catalog.regexp_replace(pg_catalog.translate(p_address, ' .-/()', ''), '^00', '+')
    ELSE p_address
END;

COMMENT ON FUNCTION internal.normalise_address(text, text) IS
'One spelling of an address, so that equal addresses have equal hashes.';
REVOKE ALL ON FUNCTION internal.normalise_address(text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.normalise_address(text, text) TO comms_maintenance;
