SET LOCAL ROLE comms_maintenance; -- it may see the statements of everybody
CREATE OR REPLACE FUNCTION internal.statement_deltas(p_taker text)
RETURNS TABLE (
    user_oid oid, query_id bigint, query_text text, calls bigint, total_ms double precision, row_count bigint
)
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* What pg_stat_statements counted in this database since the same taker last looked: one row per statement that
       clients called. The first look counts from when statistics began; so does one after they were reset. */
    WITH counted AS MATERIALIZED (
        SELECT
            statement.userid, statement.queryid, statement.query, statement.stats_since, statement.calls,
            statement.total_exec_time, statement.rows
        FROM extensions.pg_stat_statements AS statement
        JOIN pg_database AS database ON database.oid = statement.dbid
        WHERE database.datname = current_database() AND statement.toplevel AND statement.queryid IS NOT NULL
    ),

    changed AS (
        SELECT
            counted.userid, counted.queryid, counted.query, counted.calls - coalesce(before.calls, 0) AS calls,
            counted.total_exec_time - coalesce(before.total_ms, 0) AS total_ms,
            counted.rows - coalesce(before.row_count, 0) AS row_count
        FROM counted
        LEFT JOIN internal.statement_totals AS before
            ON before.taker = p_taker AND before.user_oid = counted.userid AND before.query_id = counted.queryid
            AND before.stats_since = counted.stats_since
        WHERE counted.calls > coalesce(before.calls, 0)
    ),

    noted AS (
        INSERT INTO internal.statement_totals AS total (
            taker, user_oid, query_id, stats_since, calls, total_ms, row_count
        )
        SELECT
            p_taker, counted.userid, counted.queryid, counted.stats_since, counted.calls, counted.total_exec_time,
            counted.rows
        FROM counted
        JOIN changed ON changed.userid = counted.userid AND changed.queryid = counted.queryid
        ORDER BY counted.userid, counted.queryid
        ON CONFLICT (taker, user_oid, query_id) DO UPDATE
        SET
            stats_since = excluded.stats_since, calls = excluded.calls, total_ms = excluded.total_ms,
            row_count = excluded.row_count
    ),

    forgotten AS (
        DELETE FROM internal.statement_totals AS total
        WHERE
            total.taker = p_taker
            AND NOT EXISTS (
                SELECT FROM counted WHERE counted.userid = total.user_oid AND counted.queryid = total.query_id
            )
    )

    SELECT changed.userid, changed.queryid, changed.query, changed.calls, changed.total_ms, changed.row_count FROM changed
$sql$;

COMMENT ON FUNCTION internal.statement_deltas(text) IS
'What pg_stat_statements counted since the same taker last looked, one row per statement that clients called.';
REVOKE ALL ON FUNCTION internal.statement_deltas(text) FROM PUBLIC;
