CREATE OR REPLACE FUNCTION internal.key_encryption_problem() RETURNS text
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Why this machine cannot use its key-encryption key; NULL if it can. */
BEGIN
    PERFORM public.encrypt_key(public.generate_random_key());
    RETURN NULL;
EXCEPTION WHEN SQLSTATE 'GC203' THEN
    RETURN SQLERRM;
END
$plpgsql$;

COMMENT ON FUNCTION internal.key_encryption_problem() IS 'Why this machine cannot use its key-encryption key.';
REVOKE ALL ON FUNCTION internal.key_encryption_problem() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.key_encryption_problem() TO comms_maintenance;
