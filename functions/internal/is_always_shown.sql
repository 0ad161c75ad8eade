CREATE OR REPLACE FUNCTION internal.is_always_shown(p_segments jsonb, p_variable text) RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Whether a compiled text shows a variable to everybody: outside of every condition. See compile_part(). */
    WITH segments AS (
        SELECT element.place - 1 AS place, element.segment
        FROM jsonb_array_elements(CASE jsonb_typeof(p_segments) WHEN 'array' THEN p_segments END)
        WITH ORDINALITY AS element (segment, place)
    )
    SELECT EXISTS (
        SELECT FROM segments AS shown
        WHERE
            shown.segment ->> 'name' = p_variable
            AND NOT EXISTS (
                SELECT FROM segments AS earlier
                WHERE
                    earlier.place < shown.place
                    AND coalesce(earlier.segment ->> 'else', earlier.segment ->> 'go')::bigint > shown.place
            )
    )
$sql$;

COMMENT ON FUNCTION internal.is_always_shown(jsonb, text) IS
'Whether a compiled text shows a variable outside of every condition.';
REVOKE ALL ON FUNCTION internal.is_always_shown(jsonb, text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.is_always_shown(jsonb, text) TO comms_maintenance;
