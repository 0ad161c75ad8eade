SET LOCAL ROLE comms_maintenance; -- it repairs for every tenant
CREATE OR REPLACE FUNCTION internal.repair_empty_chunks(p_since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Delete rows of the queue in which nobody is queued. Returns how many. */
DECLARE
    v_repaired bigint;
BEGIN
    DELETE FROM public.communication_batch_queue AS chunk
    USING internal.integrity_empty_chunks(p_since) AS broken
    WHERE
        chunk.organization_id = broken.organization_id AND chunk.batch_id = broken.detail ->> 'batch_id'
        AND chunk.state <> 'leased';
    GET DIAGNOSTICS v_repaired = ROW_COUNT;
    RETURN v_repaired;
END
$plpgsql$;

COMMENT ON FUNCTION internal.repair_empty_chunks(timestamptz) IS
'Repair: rows of the queue in which nobody is queued are gone.';
REVOKE ALL ON FUNCTION internal.repair_empty_chunks(timestamptz) FROM PUBLIC;
