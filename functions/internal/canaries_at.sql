CREATE OR REPLACE FUNCTION internal.canaries_at(p_lsn pg_lsn)
RETURNS TABLE (canary_id bigint, is_expected boolean)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The canaries around a position of the write-ahead log, 100 on either side, and whether a copy whose recovery
       ended there has them: yes where the next one began before it, no where it began behind it. Nobody knows of
       the one in between, whose commit may lie on either side. */
    SELECT judged.canary_id, judged.is_expected
    FROM (
        SELECT
            canary.canary_id,
            CASE
                WHEN canary.begun_lsn >= p_lsn THEN false
                WHEN lead(canary.begun_lsn) OVER (ORDER BY canary.canary_id) <= p_lsn THEN true
            END AS is_expected
        FROM (
            (
                SELECT before.* FROM internal.canaries AS before
                WHERE before.begun_lsn < p_lsn ORDER BY before.canary_id DESC LIMIT 101
            )
            UNION ALL
            (
                SELECT behind.* FROM internal.canaries AS behind
                WHERE behind.begun_lsn >= p_lsn ORDER BY behind.canary_id LIMIT 100
            )
        ) AS canary
    ) AS judged
    WHERE judged.is_expected IS NOT NULL
    ORDER BY judged.canary_id
$sql$;

COMMENT ON FUNCTION internal.canaries_at(pg_lsn) IS
'Which canaries a copy has whose recovery ended at this position, and which it does not.';
REVOKE ALL ON FUNCTION internal.canaries_at(pg_lsn) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.canaries_at(pg_lsn) TO comms_agent;
