CREATE OR REPLACE FUNCTION internal.autoscale_pools() RETURNS TABLE (pool_name text, max_connections bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Let pools with autoscale follow the load that the machines report, and return the pools that changed.
   Up by a quarter when clients of one machine waited in 3 reports in a row; down by a fifth when every machine used
   less than half for 10 minutes; between autoscale_min and autoscale_max, never below min_connections, at most one
   change a minute, and after a change everything is counted from the start. A wish that PostgreSQL has no connections
   for (GC121) is let go: the pool stays. */
DECLARE
    v_pool record;
BEGIN
    FOR v_pool IN
        SELECT
            wanted.pool_name AS name,
            CASE
                WHEN loads.waits THEN least(ceil(wanted.max_connections * 1.25)::bigint, wanted.autoscale_max)
                ELSE
                    greatest(
                        floor(wanted.max_connections * 0.8)::bigint, wanted.autoscale_min, wanted.min_connections
                    )
            END AS connections,
            loads.waits
        FROM public.communication_pool_config AS wanted
        CROSS JOIN LATERAL (
            SELECT
                bool_or(load.reports_waiting >= 3) AS waits,
                bool_and(coalesce(load.idle_since < clock_timestamp() - interval '10 minutes', false)) AS idles
            FROM internal.pool_loads AS load
            WHERE load.pool_name = wanted.pool_name AND load.reported_at > clock_timestamp() - interval '1 minute'
        ) AS loads
        WHERE
            wanted.autoscale AND wanted.updated_at < clock_timestamp() - interval '1 minute'
            AND (
                (loads.waits AND wanted.max_connections < wanted.autoscale_max)
                OR (
                    NOT loads.waits AND loads.idles
                    AND wanted.max_connections > greatest(wanted.autoscale_min, wanted.min_connections)
                )
            )
        ORDER BY wanted.pool_name
        -- Whoever finds a pool locked leaves it to the other one.
        FOR NO KEY UPDATE OF wanted SKIP LOCKED
    LOOP
        BEGIN
            UPDATE public.communication_pool_config AS wanted
            SET max_connections = v_pool.connections
            WHERE wanted.pool_name = v_pool.name;
            UPDATE internal.pool_loads AS load
            SET reports_waiting = 0, idle_since = NULL
            WHERE load.pool_name = v_pool.name;
            pool_name := v_pool.name;
            max_connections := v_pool.connections;
            RETURN NEXT;
        EXCEPTION WHEN SQLSTATE 'GC121' THEN
            NULL;
        END;
    END LOOP;
END
$plpgsql$;

COMMENT ON FUNCTION internal.autoscale_pools() IS
'Let pools with autoscale follow the load that the machines report; returns the pools that changed.';
REVOKE ALL ON FUNCTION internal.autoscale_pools() FROM PUBLIC;
