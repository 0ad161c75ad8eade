SET LOCAL ROLE comms_maintenance; -- the owner of the views: they see what it sees
CREATE OR REPLACE FUNCTION internal.refresh_dashboards() RETURNS void
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Compute the dashboards again; who reads them meanwhile reads the old figures and does not wait. */
BEGIN
    PERFORM internal.count_deliveries();
    REFRESH MATERIALIZED VIEW CONCURRENTLY public.dashboard_communications;
    REFRESH MATERIALIZED VIEW CONCURRENTLY public.dashboard_deliverability;
    REFRESH MATERIALIZED VIEW CONCURRENTLY public.dashboard_queue;
    REFRESH MATERIALIZED VIEW CONCURRENTLY public.dashboard_templates;
END
$plpgsql$;

COMMENT ON FUNCTION internal.refresh_dashboards() IS 'Compute the dashboards again, beside their readers.';
REVOKE ALL ON FUNCTION internal.refresh_dashboards() FROM PUBLIC;
