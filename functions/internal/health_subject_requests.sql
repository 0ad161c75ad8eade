SET LOCAL ROLE comms_maintenance; -- it counts over every tenant, and shows counts only
CREATE OR REPLACE FUNCTION internal.health_subject_requests(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Requests of data subjects have a month (GDPR Art 12(3)). One that is overdue is a breach; one that is due within a
   week needs somebody. */
DECLARE
    v_overdue bigint;
    v_soon bigint;
BEGIN
    SELECT
        count(*) FILTER (WHERE request.due_at < now()),
        count(*) FILTER (WHERE request.due_at BETWEEN now() AND now() + interval '7 days')
    INTO v_overdue, v_soon
    FROM public.data_subject_requests AS request
    WHERE request.closed_at IS NULL;
    SELECT
        CASE WHEN v_overdue > 0 THEN 'fail' WHEN v_soon > 0 THEN 'warn' ELSE 'pass' END,
        format('%s overdue, %s due within 7 days', v_overdue, v_soon),
        '0 overdue, 0 due within 7 days',
        'Answer them, then close_data_subject_request().'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_subject_requests() IS 'Health: requests of data subjects are answered in time.';
REVOKE ALL ON FUNCTION internal.health_subject_requests() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_subject_requests() TO comms_ops, comms_monitor, comms_maintenance;
