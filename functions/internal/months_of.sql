CREATE OR REPLACE FUNCTION internal.months_of(p_parent regclass)
RETURNS TABLE (partition regclass, from_moment timestamptz, until_moment timestamptz)
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The partitions of a table and which time each is for, the oldest first. */
    SELECT
        child.oid::regclass, substring(bound.text FROM 'FROM \(''([^'']+)''\)')::timestamptz AS from_moment,
        substring(bound.text FROM 'TO \(''([^'']+)''\)')::timestamptz
    FROM pg_inherits AS inheritance
    JOIN pg_class AS child ON child.oid = inheritance.inhrelid
    CROSS JOIN LATERAL (SELECT pg_get_expr(child.relpartbound, child.oid) AS text) AS bound
    WHERE inheritance.inhparent = p_parent
    ORDER BY from_moment
$sql$;

COMMENT ON FUNCTION internal.months_of(regclass) IS 'The partitions of a table and which time each is for.';
REVOKE ALL ON FUNCTION internal.months_of(regclass) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.months_of(regclass) TO comms_maintenance;
