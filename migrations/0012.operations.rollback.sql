DELETE FROM partman.part_config
WHERE parent_table IN ('public.communication_performance_metrics', 'public.communication_query_performance');
DROP TABLE internal.integrity_results CASCADE;
DROP TABLE internal.statement_totals CASCADE;
DROP TABLE internal.pool_loads CASCADE;
ALTER TABLE public.communication_pool_config
DROP COLUMN autoscale, DROP COLUMN autoscale_min, DROP COLUMN autoscale_max;
DROP TABLE public.communication_restore_drills CASCADE;
DROP TABLE public.communication_load_metrics CASCADE;
DROP TABLE public.communication_query_performance CASCADE;
DROP TABLE public.communication_performance_metrics CASCADE;
DROP TABLE internal.communication_query_performance_template;
DROP TABLE internal.communication_performance_metrics_template;
