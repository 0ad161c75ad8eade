CREATE OR REPLACE FUNCTION internal.health_pools(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Every machine reports its pooler, runs the wanted values, and no client waits for long. */
DECLARE
    v_nodes bigint;
    v_oldest timestamptz;
    v_unapplied text;
    v_waiting bigint;
BEGIN
    SELECT
        count(load.node), min(load.reported_at),
        string_agg(wanted.pool_name, ', ' ORDER BY wanted.pool_name)
            FILTER (WHERE wanted.applied_at IS NULL AND wanted.updated_at < now() - interval '5 minutes'),
        coalesce(sum(load.waiting) FILTER (WHERE load.reports_waiting >= 3), 0)
    INTO v_nodes, v_oldest, v_unapplied, v_waiting
    FROM public.communication_pool_config AS wanted
    LEFT JOIN internal.pool_loads AS load ON load.pool_name = wanted.pool_name;
    SELECT
        CASE
            WHEN v_nodes = 0 THEN 'unknown'
            WHEN v_unapplied IS NOT NULL OR v_oldest < now() - interval '5 minutes' THEN 'fail'
            WHEN v_waiting > 0 THEN 'warn'
            ELSE 'pass'
        END,
        format(
            '%s reports, oldest %s; not applied: %s; %s clients wait', v_nodes, coalesce(v_oldest::text, 'never'),
            coalesce(v_unapplied, 'none'), v_waiting
        ),
        'reports of the last 5 minutes, all applied, nobody waits',
        'See `guestcomms logs` of the machine in internal.pool_loads; raise max_connections, or turn autoscale on.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_pools() IS 'Health: every pooler has the wanted pools, and clients do not wait.';
REVOKE ALL ON FUNCTION internal.health_pools() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_pools() TO comms_ops, comms_monitor, comms_maintenance;
