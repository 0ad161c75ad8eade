SET LOCAL ROLE comms_maintenance; -- it counts over every tenant, and shows counts only
CREATE OR REPLACE FUNCTION internal.health_unknown_recipients(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Attempts that ended without an answer, in messages of the last month: they may have been sent or not, and are never
   sent again by themselves. Reports of providers resolve most; what stays is counted here. */
DECLARE
    v_unknown bigint;
    v_total bigint;
BEGIN
    SELECT coalesce(sum(message.unknown_count), 0), coalesce(sum(message.total_recipients), 0)
    INTO v_unknown, v_total
    FROM public.guest_communications AS message
    WHERE message.created_at > now() - interval '1 month';
    SELECT
        CASE
            WHEN v_unknown = 0 THEN 'pass'
            WHEN v_unknown <= 0.001 * v_total THEN 'warn'
            ELSE 'fail'
        END,
        format('%s of %s recipients', v_unknown, v_total),
        '0; more than 1 in 1000 fails',
        'Ask the providers about them and report what they say with record_delivery_events().'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.health_unknown_recipients() IS
'Health: how many attempts to send ended without an answer.';
REVOKE ALL ON FUNCTION internal.health_unknown_recipients() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.health_unknown_recipients() TO comms_ops, comms_monitor, comms_maintenance;
