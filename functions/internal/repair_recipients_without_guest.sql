SET LOCAL ROLE comms_maintenance; -- it repairs for every tenant
CREATE OR REPLACE FUNCTION internal.repair_recipients_without_guest(p_since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Recipients of a guest who does not exist name none; the message and its address stay as they are. Returns how many. */
DECLARE
    v_repaired bigint;
BEGIN
    UPDATE public.communication_recipients AS recipient
    SET guest_id = NULL
    FROM internal.integrity_recipients_without_guest(p_since) AS broken
    WHERE
        recipient.organization_id = broken.organization_id AND recipient.id = broken.id
        AND recipient.communication_created_at = internal.uuid_v7_time(broken.id);
    GET DIAGNOSTICS v_repaired = ROW_COUNT;
    RETURN v_repaired;
END
$plpgsql$;

COMMENT ON FUNCTION internal.repair_recipients_without_guest(timestamptz) IS
'Repair: recipients of a guest who does not exist name none.';
REVOKE ALL ON FUNCTION internal.repair_recipients_without_guest(timestamptz) FROM PUBLIC;
