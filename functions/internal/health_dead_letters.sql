CREATE OR REPLACE FUNCTION internal.health_dead_letters(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Chunks that were given up and not queued again. */
DECLARE
    v_open bigint;
    v_recipients bigint;
    v_oldest timestamptz;
BEGIN
    SELECT count(*), coalesce(sum(dead.recipients), 0), min(dead.dead_at) INTO v_open, v_recipients, v_oldest
    FROM public.communication_dead_letters AS dead WHERE dead.redriven_at IS NULL;
    SELECT
        CASE WHEN v_open = 0 THEN 'pass' WHEN v_oldest > now() - interval '1 day' THEN 'warn' ELSE 'fail' END,
        format('%s open, %s recipients', v_open, v_recipients),
        '0 open; one of a day fails',
        'Read reason and last_error in communication_dead_letters, remove the cause, then redrive_dead_letters().'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_dead_letters() IS 'Health: nobody was given up without somebody looking after it.';
REVOKE ALL ON FUNCTION internal.health_dead_letters() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_dead_letters() TO comms_ops, comms_monitor, comms_maintenance;
