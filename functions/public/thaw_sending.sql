SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION public.thaw_sending() RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Let chunks be claimed again after freeze_sending(). Returns false if sending was not frozen.
   Raises GC370 in a restored database that does not know yet who unsubscribed, was erased or was written to since. */
BEGIN
    IF (SELECT state.facts_due FROM internal.sending_state AS state) THEN
        RAISE EXCEPTION 'this database was restored, and what was decided and sent since is not applied yet'
        USING ERRCODE = 'GC370',
            HINT = 'guestcomms restore cluster --resume applies it. Where nothing of it is left: forgo_protective_facts().';
    END IF;
    UPDATE internal.sending_state AS state
    SET frozen = false, reason = NULL, changed_at = clock_timestamp(), changed_by = SESSION_USER
    WHERE state.frozen;
    RETURN FOUND;
END
$plpgsql$;

COMMENT ON FUNCTION public.thaw_sending() IS 'End freeze_sending(); false if sending was not frozen.';
REVOKE ALL ON FUNCTION public.thaw_sending() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.thaw_sending() TO comms_ops;
