CREATE OR REPLACE FUNCTION internal.health_leases(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Leases that ended without an answer are taken back by the next claim. One that stays means that nobody claims. */
DECLARE
    v_ended bigint;
    v_longest interval;
BEGIN
    SELECT count(*), max(now() - queued.lease_until) INTO v_ended, v_longest
    FROM public.communication_batch_queue AS queued
    WHERE queued.state = 'leased' AND queued.lease_until < now() - interval '1 minute';
    SELECT
        CASE WHEN v_ended = 0 THEN 'pass' WHEN v_longest < interval '10 minutes' THEN 'warn' ELSE 'fail' END,
        format('%s ended', v_ended),
        '0 that ended a minute ago; one of 10 minutes fails',
        'See that workers run: whoever claims next takes them back, and what was being sent becomes unknown.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_leases() IS 'Health: no lease has ended without anybody noticing.';
REVOKE ALL ON FUNCTION internal.health_leases() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_leases() TO comms_ops, comms_monitor, comms_maintenance;
