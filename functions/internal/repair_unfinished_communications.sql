SET LOCAL ROLE comms_maintenance; -- it repairs for every tenant
CREATE OR REPLACE FUNCTION internal.repair_unfinished_communications(p_since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Messages in which nobody is left are sent. Returns how many. */
DECLARE
    v_repaired bigint;
BEGIN
    UPDATE public.guest_communications AS message
    SET status = 'sent', completed_at = clock_timestamp()
    FROM internal.integrity_unfinished_communications(p_since) AS broken
    WHERE
        message.organization_id = broken.organization_id AND message.id = broken.id
        AND message.created_at = internal.uuid_v7_time(broken.id) AND message.status = 'sending';
    GET DIAGNOSTICS v_repaired = ROW_COUNT;
    RETURN v_repaired;
END
$plpgsql$;

COMMENT ON FUNCTION internal.repair_unfinished_communications(timestamptz) IS
'Repair: messages in which nobody is left are sent.';
REVOKE ALL ON FUNCTION internal.repair_unfinished_communications(timestamptz) FROM PUBLIC;
