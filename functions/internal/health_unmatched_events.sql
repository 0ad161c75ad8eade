SET LOCAL ROLE comms_maintenance; -- it counts over every tenant, and shows counts only
CREATE OR REPLACE FUNCTION internal.health_unmatched_events(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Reports of providers that name no message we know. They may come before the message is known; an hour later
   something is wrong: a wrong organization, or somebody else's messages. */
DECLARE
    v_waiting bigint;
BEGIN
    SELECT count(*) INTO v_waiting
    FROM (
        SELECT FROM internal.unmatched_delivery_events AS waiting
        WHERE waiting.received_at < now() - interval '1 hour' LIMIT 10001
    ) AS old;
    SELECT
        CASE WHEN v_waiting = 0 THEN 'pass' WHEN v_waiting <= 1000 THEN 'warn' ELSE 'fail' END,
        CASE WHEN v_waiting > 10000 THEN 'more than 10000' ELSE v_waiting::text END || ' older than an hour',
        '0; more than 1000 fail',
        'SELECT provider, claimed_organization, count(*) FROM internal.unmatched_delivery_events GROUP BY 1, 2;'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_unmatched_events() IS 'Health: reports of providers find their messages.';
REVOKE ALL ON FUNCTION internal.health_unmatched_events() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_unmatched_events() TO comms_ops, comms_monitor, comms_maintenance;
