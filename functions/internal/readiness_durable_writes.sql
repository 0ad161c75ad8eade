CREATE OR REPLACE FUNCTION internal.readiness_durable_writes(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What was acknowledged survives a power failure. */
BEGIN
    SELECT
        CASE
            WHEN current_setting('fsync') = 'on' AND current_setting('full_page_writes') = 'on'
                AND current_setting('synchronous_commit') <> 'off' THEN 'pass'
            ELSE 'fail'
        END,
        format(
            'fsync %s, full_page_writes %s, synchronous_commit %s', current_setting('fsync'),
            current_setting('full_page_writes'), current_setting('synchronous_commit')
        ),
        'fsync on, full_page_writes on, synchronous_commit not off',
        'Remove the setting from the stack file or from the role, then run `make up`.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_durable_writes() IS 'Readiness: acknowledged writes survive a power failure.';
REVOKE ALL ON FUNCTION internal.readiness_durable_writes() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_durable_writes() TO comms_ops, comms_monitor;
