SET LOCAL ROLE comms_maintenance; -- it counts for every tenant
CREATE OR REPLACE FUNCTION internal.count_deliveries() RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Count what providers reported since the last call, in spans of five minutes, for a day. The spans of the 15
   minutes before are counted again: an event counts as arrived when its transaction began, and that may have ended
   since; one that takes longer is not counted. Returns how many events it read. */
DECLARE
    v_day CONSTANT timestamptz := date_trunc('hour', now() - interval '1 day', 'UTC');
    v_from timestamptz;
    v_events bigint;
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended('internal.count_deliveries', 0));
    SELECT greatest(v_day, max(counted.span) - interval '15 minutes') INTO v_from FROM internal.delivery_counts AS counted;
    DELETE FROM internal.delivery_counts AS counted WHERE counted.span < v_day OR counted.span >= v_from;
    WITH added AS (
        INSERT INTO internal.delivery_counts (span, provider, channel, status, events)
        SELECT
            date_bin('5 minutes', event.created_at, '2000-01-01 00:00:00+00'), event.provider, event.channel, event.status,
            count(*)
        FROM public.delivery_status AS event
        WHERE event.created_at >= v_from
        GROUP BY 1, 2, 3, 4
        RETURNING events
    )
    SELECT coalesce(sum(added.events), 0) INTO v_events FROM added;
    RETURN v_events;
END
$plpgsql$;

COMMENT ON FUNCTION internal.count_deliveries() IS
'Count what providers reported since the last call, in spans of five minutes; for the dashboard.';
REVOKE ALL ON FUNCTION internal.count_deliveries() FROM PUBLIC;
