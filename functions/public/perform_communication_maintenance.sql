SET LOCAL ROLE comms_maintenance; -- it works for every tenant
CREATE OR REPLACE FUNCTION public.perform_communication_maintenance()
RETURNS TABLE (step text, status text, result text, seconds double precision)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* What has to be done from time to time, step by step: partitions for the next months, counters summed up, retention,
   control messages that were obeyed, statistics of partitioned tables. One row per step: done or failed, and what it
   did or why not; a step that fails is undone and the others still run. Whether it failed is noted as a metric, for
   the health check. A job calls it every night; by hand it does no harm.
   The statements are those below: @plpgsql_check_options: security_warnings = false */
DECLARE
    v_statement text;
    v_began_at timestamptz;
BEGIN
    FOR step, v_statement IN
        VALUES
        ('partitions', 'SELECT internal.maintain_partitions()'),
        ('counters', 'SELECT internal.roll_up_counters()'),
        ('retention', 'SELECT string_agg(rule::text, '' '') FROM public.apply_data_retention() AS rule'),
        ('control_messages', 'SELECT internal.purge_control_messages()'),
        ('statistics', 'SELECT internal.analyze_partitioned()')
    LOOP
        v_began_at := clock_timestamp();
        BEGIN
            EXECUTE v_statement INTO result;
            status := 'done';
        EXCEPTION WHEN OTHERS THEN
            status := 'failed';
            result := SQLERRM;
        END;
        seconds := extract(EPOCH FROM clock_timestamp() - v_began_at);
        INSERT INTO public.communication_performance_metrics (metric_name, labels, metric_value)
        VALUES ('maintenance_failed', jsonb_build_object('step', step), (status = 'failed')::integer);
        RETURN NEXT;
    END LOOP;
END
$plpgsql$;

COMMENT ON FUNCTION public.perform_communication_maintenance() IS
'What has to be done from time to time; one row per step says what it did, or why it failed.';
REVOKE ALL ON FUNCTION public.perform_communication_maintenance() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.perform_communication_maintenance() TO comms_ops;
