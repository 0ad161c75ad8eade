SET LOCAL ROLE comms_maintenance; -- it measures over every tenant, and notes sums only
CREATE OR REPLACE FUNCTION public.collect_performance_metrics()
RETURNS TABLE (source text, metrics bigint, error text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Measure, and note it in communication_performance_metrics: a job calls this each minute. One row per source, which
   is a function internal.measure_<source>(); one that fails says why, and the others are noted all the same.
   Averages per function are those of all calls (pg_stat_statements); P95 and P99 are those of probe calls, see
   internal.measure_probes(), because nothing in PostgreSQL keeps the times of single calls. */
BEGIN
    FOREACH source IN ARRAY ARRAY[
        'statements', 'probes', 'percentiles', 'sessions', 'database', 'queue', 'delivery', 'sizes'
    ] LOOP
        BEGIN
            EXECUTE format(
                'INSERT INTO public.communication_performance_metrics'
                ' (metric_name, labels, metric_value, metric_timestamp)'
                ' SELECT metric_name, labels, metric_value, measured_at FROM internal.%I()', 'measure_' || source
            );
            GET DIAGNOSTICS metrics = ROW_COUNT;
            error := NULL;
        EXCEPTION WHEN OTHERS THEN
            metrics := 0;
            error := SQLERRM;
        END;
        RETURN NEXT;
    END LOOP;
END
$plpgsql$;

COMMENT ON FUNCTION public.collect_performance_metrics() IS
'Measure, and note it in communication_performance_metrics; one row per source says how many or why not.';
REVOKE ALL ON FUNCTION public.collect_performance_metrics() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.collect_performance_metrics() TO comms_ops;
