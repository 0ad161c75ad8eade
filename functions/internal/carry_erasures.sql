SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION internal.carry_erasures(p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* For apply_protective_facts(): guests who were erased are erased here, too, with all they have here. A legal hold that
   was here at the target does not forbid it: it was lifted before the guest was erased. Returns how many were. */
DECLARE
    v_changed bigint;
    v_guest record;
BEGIN
    v_changed := 0;
    FOR v_guest IN
        SELECT guest.organization_id, guest.guest_id
        FROM jsonb_populate_recordset(NULL::public.guests, p_facts) AS fact
        JOIN public.guests AS guest
            ON guest.organization_id = fact.organization_id AND guest.guest_id = fact.guest_id
        WHERE guest.erased_at IS NULL
        ORDER BY guest.organization_id, guest.guest_id
    LOOP
        PERFORM internal.lock_messages_to_guest(v_guest.organization_id, v_guest.guest_id);
        PERFORM internal.erase_person(v_guest.organization_id, v_guest.guest_id);
        v_changed := v_changed + 1;
    END LOOP;
    RETURN v_changed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.carry_erasures(jsonb) IS
'Facts for a restored database: guests who were erased.';
REVOKE ALL ON FUNCTION internal.carry_erasures(jsonb) FROM PUBLIC;
