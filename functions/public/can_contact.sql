CREATE OR REPLACE FUNCTION public.can_contact(
    p_organization_id uuid, p_address text, p_channel text, p_purpose text, p_lawful_basis text DEFAULT 'consent',
    p_category text DEFAULT 'commercial', OUT allowed boolean, OUT reason text
) RETURNS record
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Whether an address may be written to now for a purpose, and if not, why: by the same gates that are asked when
   messages are queued and sent. Where several guests share the address, what forbids it for one forbids it. Says
   nothing about later: the gates are asked again.
   Raises GC300 for NULL, GC400 to GC402 for channel, address and purpose, GC409 for another basis or category. */
DECLARE
    v_hash bytea;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    v_hash := internal.consent_subject(p_organization_id, p_address, p_channel, p_purpose);
    PERFORM internal.require_given(
        jsonb_build_object('p_lawful_basis', p_lawful_basis, 'p_category', p_category)
    );
    IF
        p_lawful_basis NOT IN ('consent', 'contract', 'legitimate_interest', 'legal_obligation')
        OR p_category NOT IN ('transactional', 'commercial')
    THEN
        RAISE EXCEPTION 'there is no % message on the basis of "%"', left(p_category, 100), left(p_lawful_basis, 100)
        USING ERRCODE = 'GC409',
            HINT = 'transactional or commercial; consent, contract, legitimate_interest or legal_obligation.';
    END IF;
    SELECT min(gate.suppression_reason) INTO reason
    FROM (
        SELECT
            coalesce(array_agg(guest.guest_id), ARRAY[NULL]::uuid[]) AS guest_ids,
            coalesce(array_agg(v_hash) FILTER (WHERE guest.guest_id IS NOT NULL), ARRAY[v_hash]) AS hashes
        FROM internal.guests_with_address(p_organization_id, p_channel, v_hash) AS guest
    ) AS asked
    CROSS JOIN LATERAL internal.contact_gates(
        p_organization_id, p_channel, p_category, p_purpose, p_lawful_basis, asked.guest_ids, asked.hashes
    ) AS gate;
    allowed := reason IS NULL;
END
$plpgsql$;

COMMENT ON FUNCTION public.can_contact(uuid, text, text, text, text, text) IS
'Whether an address may be written to now for a purpose, and if not, why.';
REVOKE ALL ON FUNCTION public.can_contact(uuid, text, text, text, text, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.can_contact(uuid, text, text, text, text, text) TO comms_app;
