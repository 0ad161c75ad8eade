SET LOCAL ROLE comms_maintenance; -- it measures over every tenant, and shows sums only
CREATE OR REPLACE FUNCTION internal.measure_sizes()
RETURNS TABLE (metric_name text, labels jsonb, metric_value double precision, measured_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Bytes of every table with its indexes, partitions summed up, and of every partition: once an hour, because they
       grow slowly and every size is a look at the disk. */
    SELECT
        'table_bytes',
        jsonb_strip_nulls(jsonb_build_object('table', size.table_name, 'partition', size.partition_name)),
        size.total_bytes::double precision, now()
    FROM public.table_sizes() AS size
    WHERE
        NOT EXISTS (
            SELECT FROM public.communication_performance_metrics AS metric
            WHERE metric.metric_name = 'table_bytes' AND metric.metric_timestamp > now() - interval '1 hour'
        )
$sql$;

COMMENT ON FUNCTION internal.measure_sizes() IS 'Metrics: bytes of tables and partitions, once an hour.';
REVOKE ALL ON FUNCTION internal.measure_sizes() FROM PUBLIC;
