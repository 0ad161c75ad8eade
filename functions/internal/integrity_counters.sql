SET LOCAL ROLE comms_maintenance; -- it looks at every tenant
CREATE OR REPLACE FUNCTION internal.integrity_counters(p_since timestamptz)
RETURNS TABLE (organization_id uuid, id uuid, detail jsonb)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Messages whose counters, with the changes not summed up yet, differ from the states of their recipients; detail says
       by how much. One snapshot for all of it, so that what is going on now disagrees with nothing. */
    SELECT wrong.organization_id, wrong.communication_id, jsonb_object_agg(wrong.status, wrong.difference)
    FROM (
        SELECT parts.organization_id, parts.communication_id, parts.status, sum(parts.number) AS difference
        FROM (
            -- Of few groups two counts: grouping sets would sort every recipient.
            SELECT state.organization_id, state.communication_id, counter.status, state.number
            FROM (
                SELECT recipient.organization_id, recipient.communication_id, recipient.status, count(*) AS number
                FROM public.communication_recipients AS recipient
                WHERE recipient.communication_created_at >= p_since
                GROUP BY recipient.organization_id, recipient.communication_id, recipient.status
            ) AS state
            CROSS JOIN LATERAL (VALUES (state.status), ('total')) AS counter (status)
            UNION ALL
            SELECT message.organization_id, message.id, counter.status, -counter.number
            FROM public.guest_communications AS message
            CROSS JOIN LATERAL (
                VALUES
                ('total', message.total_recipients), ('queued', message.queued_count),
                ('sending', message.sending_count), ('unknown', message.unknown_count), ('sent', message.sent_count),
                ('deferred', message.deferred_count), ('delivered', message.delivered_count),
                ('opened', message.opened_count), ('clicked', message.clicked_count), ('failed', message.failed_count),
                ('bounced', message.bounced_count), ('complained', message.complained_count),
                ('suppressed', message.suppressed_count), ('cancelled', message.cancelled_count)
            ) AS counter (status, number)
            WHERE message.created_at >= p_since AND counter.number <> 0
            UNION ALL
            SELECT change.organization_id, change.communication_id, change.status, -change.delta
            FROM internal.communication_counter_deltas AS change
            WHERE internal.uuid_v7_time(change.communication_id) >= p_since
        ) AS parts
        GROUP BY parts.organization_id, parts.communication_id, parts.status
        HAVING sum(parts.number) <> 0
    ) AS wrong
    GROUP BY wrong.organization_id, wrong.communication_id
    LIMIT 100000
$sql$;

COMMENT ON FUNCTION internal.integrity_counters(timestamptz) IS
'Integrity: messages whose counters disagree with their recipients.';
REVOKE ALL ON FUNCTION internal.integrity_counters(timestamptz) FROM PUBLIC;
