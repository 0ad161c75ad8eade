SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION internal.content_hashes(p_table text)
RETURNS TABLE (part text, bucket bigint, row_count bigint, hash text)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC' -- a row's text is the same on every server
SET datestyle = 'ISO'
SET intervalstyle = 'postgres'
SET bytea_output = 'hex'
SET extra_float_digits = 1
AS $plpgsql$
/* Rows and a hash of their content, for each of 64 ranges of the primary key's hash in each partition of a table.
   The order of rows does not count. p_table is one of content_tables(); raises GC151 for another one. */
DECLARE
    v_table regclass;
BEGIN
    IF p_table IS NULL OR NOT p_table IN (SELECT internal.content_tables()) THEN
        RAISE EXCEPTION 'the content of table % is not compared', p_table
        USING ERRCODE = 'GC151', HINT = 'Ask for one that internal.content_tables() returns.';
    END IF;
    v_table := p_table;
    FOR part, bucket, row_count, hash IN EXECUTE format(
        'SELECT scanned_row.tableoid::regclass::text, %s, count(*),'
        ' sum(hashtextextended((scanned_row.*)::text, 0))::text FROM %s AS scanned_row GROUP BY 1, 2 ORDER BY 1, 2',
        (
            SELECT coalesce(
                'hashtextextended(ROW(' || string_agg(format('scanned_row.%I', attribute.attname), ', ')
                || ')::text, 0) & 63', '0::bigint'
            )
            FROM pg_index AS key
            JOIN pg_attribute AS attribute ON attribute.attrelid = key.indrelid AND attribute.attnum = ANY (key.indkey)
            WHERE key.indrelid = v_table AND key.indisprimary
        ), v_table
    ) LOOP
        RETURN NEXT;
    END LOOP;
END
$plpgsql$;

COMMENT ON FUNCTION internal.content_hashes(text) IS
'Rows and content hash of a table, by partition and range of keys, for all tenants together.';
REVOKE ALL ON FUNCTION internal.content_hashes(text) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.content_hashes(text) TO comms_agent;
