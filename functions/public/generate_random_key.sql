CREATE OR REPLACE FUNCTION public.generate_random_key() RETURNS bytea
LANGUAGE sql VOLATILE PARALLEL SAFE
/* 32 random bytes: three UUIDs carry 366 bits of the operating system's randomness, hashed to 256. */
RETURN pg_catalog.sha256(
    pg_catalog.uuid_send(pg_catalog.gen_random_uuid()) || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
    || pg_catalog.uuid_send(pg_catalog.gen_random_uuid())
);

COMMENT ON FUNCTION public.generate_random_key() IS '32 random bytes, a key for AES-256 or HMAC-SHA256.';
REVOKE ALL ON FUNCTION public.generate_random_key() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.generate_random_key() TO comms_ops, comms_maintenance;
