CREATE OR REPLACE FUNCTION internal.health_sending(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Nothing is claimed while sending is frozen, by a person or because this database was restored. */
DECLARE
    v_frozen boolean;
    v_why text;
BEGIN
    SELECT sending.frozen, format('since %s: %s', sending.changed_at, sending.reason) INTO v_frozen, v_why
    FROM internal.sending_state AS sending;
    SELECT
        CASE WHEN v_frozen THEN 'fail' WHEN NOT v_frozen THEN 'pass' ELSE 'unknown' END,
        CASE WHEN v_frozen THEN 'frozen ' || v_why WHEN NOT v_frozen THEN 'not frozen' ELSE 'internal.sending_state is empty' END,
        'not frozen',
        'When the reason is gone: SELECT thaw_sending();'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_sending() IS 'Health: messages may be sent.';
REVOKE ALL ON FUNCTION internal.health_sending() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_sending() TO comms_ops, comms_monitor, comms_maintenance;
