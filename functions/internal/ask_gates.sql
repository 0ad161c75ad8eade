CREATE OR REPLACE FUNCTION internal.ask_gates(
    p_communication public.guest_communications, p_guest_ids uuid[], p_address_hashes bytea[],
    OUT reasons text[], OUT consent_event_ids uuid[]
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
-- The plan of ten recipients is wrong for 100,000, which stay in memory.
SET plan_cache_mode = force_custom_plan
SET work_mem = '64MB'
AS $plpgsql$
/* What internal.contact_gates() says about recipients of a communication, as arrays in their order. */
BEGIN
    SELECT
        array_agg(gate.suppression_reason ORDER BY gate.item), array_agg(gate.consent_event_id ORDER BY gate.item)
    INTO reasons, consent_event_ids
    FROM internal.contact_gates(
        p_communication.organization_id, p_communication.message_type, p_communication.message_category,
        p_communication.purpose, p_communication.lawful_basis, p_guest_ids, p_address_hashes
    ) AS gate;
END
$plpgsql$;

COMMENT ON FUNCTION internal.ask_gates(public.guest_communications, uuid[], bytea[]) IS
'What contact_gates() says about recipients of a communication, as arrays.';
REVOKE ALL ON FUNCTION internal.ask_gates(public.guest_communications, uuid[], bytea[]) FROM PUBLIC;
