CREATE OR REPLACE FUNCTION internal.require_guest(p_organization_id uuid, p_guest_id uuid) RETURNS public.guests
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* A guest, locked until the end of the transaction: what concerns all of one guest happens one after the other, and no
   message to the guest is queued meanwhile. Raises GC300 for NULL, GC410 if the organization has no such guest. */
DECLARE
    v_guest public.guests;
BEGIN
    PERFORM internal.require_given(jsonb_build_object('p_guest_id', p_guest_id));
    SELECT known.* INTO v_guest
    FROM public.guests AS known
    WHERE known.organization_id = p_organization_id AND known.guest_id = p_guest_id
    FOR UPDATE;
    IF v_guest.guest_id IS NULL THEN
        RAISE EXCEPTION 'organization % has no guest %', p_organization_id, p_guest_id
        USING ERRCODE = 'GC410', HINT = 'Give the id that upsert_guests() returned.';
    END IF;
    RETURN v_guest;
END
$plpgsql$;

COMMENT ON FUNCTION internal.require_guest(uuid, uuid) IS 'A guest, locked; refused (GC410) if there is none.';
REVOKE ALL ON FUNCTION internal.require_guest(uuid, uuid) FROM PUBLIC;
