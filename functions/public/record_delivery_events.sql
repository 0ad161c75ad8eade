CREATE OR REPLACE FUNCTION public.record_delivery_events(p_organization_id uuid, p_events jsonb)
RETURNS TABLE (accepted bigint, duplicates bigint, unmatched bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Record what providers report, up to 1000 events in a call: an array of objects with provider, provider_event_id,
   recipient_id or provider_message_id, status (sent, deferred, delivered, opened, clicked, failed, bounced,
   unsubscribed, complained), occurred_at, and error_code and error_message if there are any. In any order and as often
   as providers like: the state of a message in the end is the same. A bounce, complaint or unsubscription
   suppresses the address in the same transaction; the last also ends consent, as unsubscribe() does. Events of messages not known yet are kept and matched
   later. Returns how many were accepted, known already, and kept.
   Raises GC001 for another's organization, GC380 for no array or more than 1000, GC381 if an event is not usable:
   then nothing is recorded. */
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    RETURN QUERY SELECT * FROM internal.apply_delivery_events(p_organization_id, p_events);
END
$plpgsql$;

COMMENT ON FUNCTION public.record_delivery_events(uuid, jsonb) IS
'Record what providers report on messages: at least once, in any order, with the same state in the end.';
REVOKE ALL ON FUNCTION public.record_delivery_events(uuid, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.record_delivery_events(uuid, jsonb) TO comms_app, comms_worker;
