SET LOCAL ROLE comms_maintenance; -- it repairs for every tenant
CREATE OR REPLACE FUNCTION internal.repair_queued_without_chunk(p_since timestamptz) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Queue them again, in chunks of up to 1000. Where such a chunk overlaps another one nobody is sent to twice: a claim
   takes only who is still queued. Returns how many recipients. */
DECLARE
    v_repaired bigint;
BEGIN
    WITH broken AS MATERIALIZED (
        SELECT
            found.organization_id, found.id, (found.detail ->> 'communication_id')::uuid AS communication_id,
            (row_number() OVER (
                PARTITION BY found.organization_id, found.detail ->> 'communication_id' ORDER BY found.id
            ) - 1) / 1000 AS chunk
        FROM internal.integrity_queued_without_chunk(p_since) AS found
    ), chunks AS (
        SELECT
            broken.organization_id, broken.communication_id, (array_agg(broken.id ORDER BY broken.id))[1] AS first_id,
            (array_agg(broken.id ORDER BY broken.id DESC))[1] AS last_id, count(*) AS recipients
        FROM broken
        GROUP BY broken.organization_id, broken.communication_id, broken.chunk
    ), repaired AS (
        INSERT INTO public.communication_batch_queue (
            organization_id, batch_id, operation_type, channel, priority, state, run_at, fair_rank,
            communication_id, communication_created_at, first_recipient_id, last_recipient_id, recipients
        )
        SELECT
            chunks.organization_id, format('%s/repair-%s', chunks.communication_id, right(chunks.first_id::text, 6)),
            'send', message.message_type, message.priority,
            CASE WHEN message.scheduled_for > now() THEN 'scheduled' ELSE 'ready' END,
            greatest(now(), message.scheduled_for), internal.queue_front() + chunks.recipients,
            message.id, message.created_at, chunks.first_id, chunks.last_id, chunks.recipients
        FROM chunks
        JOIN public.guest_communications AS message
            ON message.organization_id = chunks.organization_id AND message.id = chunks.communication_id
            AND message.created_at = internal.uuid_v7_time(chunks.communication_id)
    )
    SELECT count(*) INTO v_repaired FROM broken;
    RETURN v_repaired;
END
$plpgsql$;

COMMENT ON FUNCTION internal.repair_queued_without_chunk(timestamptz) IS
'Repair: queued recipients are in the queue again.';
REVOKE ALL ON FUNCTION internal.repair_queued_without_chunk(timestamptz) FROM PUBLIC;
