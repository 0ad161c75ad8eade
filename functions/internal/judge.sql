CREATE OR REPLACE FUNCTION internal.judge(
    p_check name, OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Run the check internal.<p_check>() with the caller's own rights. One that cannot be evaluated, for whatever
   reason, is unknown; one that passes leaves nothing to do. */
DECLARE
    v_hint text;
BEGIN
    EXECUTE format('SELECT * FROM internal.%I()', p_check) INTO status, value, threshold, what_to_do;
    IF status = 'pass' THEN
        what_to_do := '';
    END IF;
EXCEPTION WHEN OTHERS THEN
    GET STACKED DIAGNOSTICS v_hint = PG_EXCEPTION_HINT;
    status := 'unknown';
    value := SQLERRM;
    threshold := 'can be evaluated';
    what_to_do := coalesce(nullif(v_hint, ''), 'Find out why it cannot be evaluated.');
END
$plpgsql$;

COMMENT ON FUNCTION internal.judge(name) IS
'What a check says: pass, warn or fail; unknown where it cannot be evaluated, for whatever reason.';
REVOKE ALL ON FUNCTION internal.judge(name) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.judge(name) TO comms_ops, comms_monitor;
