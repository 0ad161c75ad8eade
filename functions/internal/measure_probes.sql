SET LOCAL ROLE comms_maintenance; -- it measures over every tenant, and shows sums only
CREATE OR REPLACE FUNCTION internal.measure_probes()
RETURNS TABLE (metric_name text, labels jsonb, metric_value double precision, measured_at timestamptz)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What a reader of the API waits for now: calls of the statements that it is made of, each timed. pg_stat_statements
   knows no percentiles and noting every call would slow the calls down, so percentiles are those of these probes:
   five organizations at random each minute, four statements each, inside of the server, without network and pooler. */
DECLARE
    v_organization_id uuid;
    v_communication_id uuid;
    v_probe text;
BEGIN
    metric_name := 'probe_ms';
    FOR v_organization_id IN
        SELECT organization.organization_id FROM public.organizations AS organization ORDER BY random() LIMIT 5
    LOOP
        v_communication_id := NULL;
        FOREACH v_probe IN ARRAY ARRAY['list_communications', 'list_recipients', 'search_guests', 'queue'] LOOP
            measured_at := clock_timestamp();
            CASE v_probe
                WHEN 'list_communications' THEN
                    SELECT (array_agg(page.id))[1] INTO v_communication_id
                    FROM (
                        SELECT message.id FROM public.guest_communications AS message
                        WHERE message.organization_id = v_organization_id
                        ORDER BY message.created_at DESC, message.id DESC LIMIT 50
                    ) AS page;
                WHEN 'list_recipients' THEN
                    PERFORM count(*) FROM (
                        SELECT recipient.id, recipient.status FROM public.communication_recipients AS recipient
                        WHERE
                            recipient.organization_id = v_organization_id
                            AND recipient.communication_id = v_communication_id
                            AND recipient.communication_created_at = internal.uuid_v7_time(v_communication_id)
                        ORDER BY recipient.recipient_key LIMIT 50
                    ) AS page;
                WHEN 'search_guests' THEN
                    PERFORM count(*) FROM (
                        SELECT guest.guest_id FROM public.guests AS guest
                        WHERE guest.organization_id = v_organization_id AND guest.name_search >= 'm'
                        ORDER BY guest.name_search, guest.guest_id LIMIT 50
                    ) AS page;
                WHEN 'queue' THEN
                    PERFORM count(*) FROM (
                        SELECT queued.batch_id FROM public.communication_batch_queue AS queued
                        WHERE
                            queued.state = 'ready' AND queued.operation_type = 'send' AND queued.channel = 'email'
                        ORDER BY queued.fair_rank, queued.organization_id, queued.batch_id LIMIT 10
                    ) AS page;
            END CASE;
            metric_value := extract(EPOCH FROM clock_timestamp() - measured_at) * 1000;
            labels := jsonb_build_object('probe', v_probe);
            RETURN NEXT;
        END LOOP;
    END LOOP;
END
$plpgsql$;

COMMENT ON FUNCTION internal.measure_probes() IS 'Metrics: probe calls, each timed.';
REVOKE ALL ON FUNCTION internal.measure_probes() FROM PUBLIC;
