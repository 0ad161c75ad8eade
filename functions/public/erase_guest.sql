CREATE OR REPLACE FUNCTION public.erase_guest(
    p_organization_id uuid, p_guest_id uuid,
    OUT messages_suppressed bigint, OUT messages_anonymised bigint, OUT consents_ended bigint
) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Erase a guest (GDPR Art 17): the guest and the messages stay as rows without personal data, so that counts stay
   true; what is queued is suppressed; consent ends; preferences go. Addresses that no other guest has are suppressed
   by their keyed hash, so that an old list does not bring the person back. Returns how many messages were suppressed
   and made anonymous and how many consents ended; erasing again finds what was queued beside the first time.
   Raises GC300 for NULL, GC410 for an unknown guest, GC426 while a legal hold is on the guest, on a message to the
   guest or on all of the organization. */
DECLARE
    v_hold uuid;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    PERFORM internal.lock_messages_to_guest(p_organization_id, p_guest_id);
    PERFORM internal.require_guest(p_organization_id, p_guest_id);
    v_hold := internal.hold_on_guest(p_organization_id, p_guest_id);
    IF v_hold IS NOT NULL THEN
        RAISE EXCEPTION 'legal hold % forbids to erase guest %', v_hold, p_guest_id
        USING ERRCODE = 'GC426', HINT = 'Refuse the request for now (Art 17(3)(e)), or lift the hold.';
    END IF;
    SELECT erased.messages_suppressed, erased.messages_anonymised, erased.consents_ended
    INTO messages_suppressed, messages_anonymised, consents_ended
    FROM internal.erase_person(p_organization_id, p_guest_id) AS erased;
    -- The log outlives the loss of all, after which this may have to be done again by hand.
    RAISE LOG 'erased guest % of organization %', p_guest_id, p_organization_id;
END
$plpgsql$;

COMMENT ON FUNCTION public.erase_guest(uuid, uuid) IS
'Erase a guest (GDPR Art 17): rows stay without personal data, suppressions stay as keyed hashes.';
REVOKE ALL ON FUNCTION public.erase_guest(uuid, uuid) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.erase_guest(uuid, uuid) TO comms_app;
