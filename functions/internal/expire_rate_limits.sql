SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION internal.expire_rate_limits() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Forget windows that began more than 7 days ago: identifiers may be personal data. Returns how many. */
DECLARE
    v_expired bigint;
BEGIN
    DELETE FROM public.communication_rate_limits AS counter
    WHERE counter.window_start < now() - interval '7 days';
    GET DIAGNOSTICS v_expired = ROW_COUNT;
    RETURN v_expired;
END
$plpgsql$;

COMMENT ON FUNCTION internal.expire_rate_limits() IS 'Forget windows that began more than 7 days ago.';
REVOKE ALL ON FUNCTION internal.expire_rate_limits() FROM PUBLIC;
