CREATE OR REPLACE FUNCTION internal.start_sending(p_communication public.guest_communications) RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The state of a locked communication that has got recipients: scheduled or sending. If nobody of them may be written
   to, internal.roll_up_counters() finds that nobody is left. */
DECLARE
    v_status CONSTANT text := CASE WHEN p_communication.scheduled_for > now() THEN 'scheduled' ELSE 'sending' END;
BEGIN
    IF v_status <> p_communication.status THEN
        UPDATE public.guest_communications AS message
        SET status = v_status, started_at = coalesce(message.started_at, now()), completed_at = NULL
        WHERE
            message.organization_id = p_communication.organization_id AND message.id = p_communication.id
            AND message.created_at = p_communication.created_at;
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.start_sending(public.guest_communications) IS
'The state of a communication that has got recipients.';
REVOKE ALL ON FUNCTION internal.start_sending(public.guest_communications) FROM PUBLIC;
