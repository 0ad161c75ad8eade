SET LOCAL ROLE comms_maintenance; -- it stops every tenant
CREATE OR REPLACE FUNCTION public.freeze_sending(p_reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Stop all sending: from the commit on nothing is claimed until thaw_sending(). What workers have claimed before they
   still send and answer for. Returns false, and keeps the first reason, if it was frozen already.
   Raises GC366 without a reason of 1 to 500 characters. */
BEGIN
    IF p_reason IS NULL OR length(btrim(p_reason)) NOT BETWEEN 1 AND 500 THEN
        RAISE EXCEPTION 'sending cannot be frozen for the reason "%"', left(p_reason, 100)
        USING ERRCODE = 'GC366', HINT = 'Say in 1 to 500 characters why: whoever thaws it has to judge.';
    END IF;
    UPDATE internal.sending_state AS state
    SET frozen = true, reason = p_reason, changed_at = clock_timestamp(), changed_by = SESSION_USER
    WHERE NOT state.frozen;
    RETURN FOUND;
END
$plpgsql$;

COMMENT ON FUNCTION public.freeze_sending(text) IS
'Stop all sending until thaw_sending(); false if it was stopped already.';
REVOKE ALL ON FUNCTION public.freeze_sending(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.freeze_sending(text) TO comms_ops;
