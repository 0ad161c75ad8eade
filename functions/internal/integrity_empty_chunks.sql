SET LOCAL ROLE comms_maintenance; -- it looks at every tenant
CREATE OR REPLACE FUNCTION internal.integrity_empty_chunks(p_since timestamptz)
RETURNS TABLE (organization_id uuid, id uuid, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Rows of the queue that have been due for an hour although nobody in them is queued. */
    SELECT chunk.organization_id, chunk.communication_id, jsonb_build_object('batch_id', chunk.batch_id)
    FROM public.communication_batch_queue AS chunk
    WHERE
        chunk.operation_type = 'send' AND chunk.state <> 'leased' AND chunk.run_at < now() - interval '1 hour'
        AND chunk.communication_created_at >= p_since
        AND NOT EXISTS (
            SELECT FROM public.communication_recipients AS recipient
            WHERE
                recipient.organization_id = chunk.organization_id
                AND recipient.communication_created_at = chunk.communication_created_at
                AND recipient.id BETWEEN chunk.first_recipient_id AND chunk.last_recipient_id
                AND recipient.status = 'queued'
        )
    LIMIT 100000
$sql$;

COMMENT ON FUNCTION internal.integrity_empty_chunks(timestamptz) IS
'Integrity: rows of the queue in which nobody is queued.';
REVOKE ALL ON FUNCTION internal.integrity_empty_chunks(timestamptz) FROM PUBLIC;
