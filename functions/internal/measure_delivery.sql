SET LOCAL ROLE comms_maintenance; -- it measures over every tenant, and shows sums only
CREATE OR REPLACE FUNCTION internal.measure_delivery()
RETURNS TABLE (metric_name text, labels jsonb, metric_value double precision, measured_at timestamptz)
LANGUAGE sql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* What providers reported in this hour and the one before, from the dashboard that a job keeps fresh: counting the
       events themselves each minute would read millions. A message is finished when it was delivered, failed or
       bounced: rates are shares of these. */
    WITH lately AS (
        SELECT
            coalesce(sum(dashboard.delivered), 0) AS delivered, coalesce(sum(dashboard.failed), 0) AS failed,
            coalesce(sum(dashboard.bounced), 0) AS bounced, coalesce(sum(dashboard.complained), 0) AS complained
        FROM public.dashboard_deliverability AS dashboard
        WHERE dashboard.hour >= date_trunc('hour', now() - interval '1 hour', 'UTC')
    )

    SELECT 'delivery_messages', jsonb_build_object('status', figure.status), figure.value::double precision, now()
    FROM lately
    CROSS JOIN LATERAL (
        VALUES
        ('delivered', lately.delivered), ('failed', lately.failed), ('bounced', lately.bounced),
        ('complained', lately.complained)
    ) AS figure (status, value)
    UNION ALL
    SELECT
        'delivery_messages_finished', '{}'::jsonb,
        (lately.delivered + lately.failed + lately.bounced)::double precision, now()
    FROM lately
$sql$;

COMMENT ON FUNCTION internal.measure_delivery() IS 'Metrics: what providers reported in the last two hours.';
REVOKE ALL ON FUNCTION internal.measure_delivery() FROM PUBLIC;
