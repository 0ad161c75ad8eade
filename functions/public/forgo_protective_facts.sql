SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION public.forgo_protective_facts(p_reason text) RETURNS boolean
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Let thaw_sending() work in a restored database although what was decided and sent after the target is not applied:
   guests who unsubscribed or were erased since will be written to, and some twice. Only where nothing of it is left
   anywhere. Sending stays frozen; who did it and why is in the audit. Returns false if nothing was due.
   Raises GC366 without a reason of 1 to 500 characters. */
BEGIN
    IF p_reason IS NULL OR length(btrim(p_reason)) NOT BETWEEN 1 AND 500 THEN
        RAISE EXCEPTION 'protective facts cannot be forgone for the reason "%"', left(p_reason, 100)
        USING ERRCODE = 'GC366', HINT = 'Say in 1 to 500 characters why: somebody will have to answer for it.';
    END IF;
    UPDATE internal.sending_state AS state
    SET facts_due = false, reason = left(p_reason, 500), changed_at = clock_timestamp(), changed_by = SESSION_USER
    WHERE state.facts_due;
    IF FOUND THEN
        PERFORM internal.record_security_event(
            '00000000-0000-0000-0000-000000000000', 'protective_facts_forgone', SESSION_USER, NULL, true,
            jsonb_build_object('reason', p_reason)
        );
        RETURN true;
    END IF;
    RETURN false;
END
$plpgsql$;

COMMENT ON FUNCTION public.forgo_protective_facts(text) IS
'After a restore: go without what was decided and sent since, where nothing of it is left anywhere.';
REVOKE ALL ON FUNCTION public.forgo_protective_facts(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.forgo_protective_facts(text) TO comms_ops;
