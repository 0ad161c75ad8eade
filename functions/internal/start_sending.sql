CREATE OR REPLACE FUNCTION internal.start_sending(p_communication public.guest_communications, p_accepted bigint)
RETURNS void
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The state of a locked communication after recipients were added: scheduled or sending if any were queued, sent if a
   draft has got nobody but suppressed ones. */
DECLARE
    v_status CONSTANT text := CASE
        WHEN p_accepted > 0 AND p_communication.scheduled_for > now() THEN 'scheduled'
        WHEN p_accepted > 0 THEN 'sending'
        WHEN p_communication.status <> 'draft' THEN p_communication.status
        WHEN EXISTS (
            SELECT FROM public.communication_recipients AS recipient
            WHERE
                recipient.organization_id = p_communication.organization_id
                AND recipient.communication_id = p_communication.id
                AND recipient.communication_created_at = p_communication.created_at
        ) THEN 'sent'
        ELSE 'draft'
    END;
BEGIN
    IF v_status <> p_communication.status THEN
        UPDATE public.guest_communications AS communication
        SET
            status = v_status,
            started_at = coalesce(communication.started_at, now()),
            completed_at = CASE WHEN v_status = 'sent' THEN now() END
        WHERE
            communication.organization_id = p_communication.organization_id
            AND communication.id = p_communication.id AND communication.created_at = p_communication.created_at;
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.start_sending(public.guest_communications, bigint) IS
'The state of a communication after recipients were added.';
REVOKE ALL ON FUNCTION internal.start_sending(public.guest_communications, bigint) FROM PUBLIC;
