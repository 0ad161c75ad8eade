CREATE OR REPLACE FUNCTION internal.without_literals(p_query text) RETURNS text
LANGUAGE sql IMMUTABLE STRICT PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* A statement with ? in place of strings and numbers. pg_stat_statements puts $1 there itself, except when a
       statement's entry was evicted while it ran: then it stores the text as it came, with whatever data is in it. */
    SELECT regexp_replace(
        regexp_replace(p_query, $re$'([^']|'')*'|\$([a-z_]*)\$.*?\$\2\$$re$, '?', 'gi'),
        '(?<![[:alnum:]_$.])[0-9]+(\.[0-9]+)?', '?', 'g'
    )
$sql$;

COMMENT ON FUNCTION internal.without_literals(text) IS 'A statement with ? in place of strings and numbers.';
REVOKE ALL ON FUNCTION internal.without_literals(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.without_literals(text) TO comms_maintenance;
