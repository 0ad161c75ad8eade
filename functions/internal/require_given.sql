CREATE OR REPLACE FUNCTION internal.require_given(p_values jsonb) RETURNS void
LANGUAGE plpgsql IMMUTABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Refuse NULL: p_values are the parameters of a function by name. Raises GC300 for the first that is NULL. */
DECLARE
    v_name constant text := (
        SELECT min(given.key) FROM jsonb_each(p_values) AS given WHERE given.value = 'null'
    );
BEGIN
    IF v_name IS NOT NULL THEN
        RAISE EXCEPTION '% is NULL', v_name
        USING ERRCODE = 'GC300', HINT = 'Give it a value; docs/reference/api.md says which.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.require_given(jsonb) IS 'Refuse parameters that are NULL (GC300), by name.';
REVOKE ALL ON FUNCTION internal.require_given(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.require_given(jsonb) TO comms_maintenance;
