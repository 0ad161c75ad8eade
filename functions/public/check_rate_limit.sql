CREATE OR REPLACE FUNCTION public.check_rate_limit(
    p_organization_id uuid, p_identifier text, p_endpoint text, p_cost integer DEFAULT 1
) RETURNS TABLE (allowed boolean, remaining bigint, request_limit bigint, retry_after interval)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Count a request and say whether it may go on: windows of fixed length, the limits are in rate_limit_rules.
   Returns what remains in the window, and after a refusal in what time to come again. A refusal is a row and no
   error, so that it is counted; the first one of a window goes to the audit. What was refused uses nothing up.
   Call it in a transaction of its own: until that ends, the next caller with the same identifier waits.
   Raises GC001 for an organization that the login is not bound to, GC453 for a value that cannot be counted,
   GC454 if there is no rule. */
DECLARE
    v_now constant timestamptz := clock_timestamp();
    v_rule internal.rate_limit_rules;
    v_row public.communication_rate_limits;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    IF coalesce(length(p_identifier), 0) NOT BETWEEN 1 AND 200 OR coalesce(length(p_endpoint), 0) NOT BETWEEN 1 AND 200
        OR coalesce(p_cost, 0) NOT BETWEEN 1 AND 1000000 THEN
        RAISE EXCEPTION 'identifier %, endpoint % and cost % cannot be counted',
            quote_nullable(left(p_identifier, 50)), quote_nullable(left(p_endpoint, 50)), coalesce(p_cost::text, 'NULL')
        USING ERRCODE = 'GC453', HINT = 'Give names of 1 to 200 characters and a cost of 1 to 1000000.';
    END IF;
    SELECT rule.* INTO v_rule
    FROM internal.rate_limit_rules AS rule
    WHERE
        rule.organization_id IN (p_organization_id, '00000000-0000-0000-0000-000000000000')
        AND rule.endpoint IN (p_endpoint, '*')
    ORDER BY rule.endpoint = p_endpoint DESC, rule.organization_id = p_organization_id DESC
    LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'no rule limits endpoint "%"', p_endpoint
        USING ERRCODE = 'GC454', HINT = 'Insert one for * into internal.rate_limit_rules.';
    END IF;
    INSERT INTO public.communication_rate_limits AS counter (
        organization_id, identifier, endpoint, window_start, window_end, request_limit, request_count,
        refused_count, last_allowed
    )
    SELECT
        p_organization_id, p_identifier, p_endpoint, span.start, span.start + v_rule.window_length,
        v_rule.request_limit, p_cost, CASE WHEN p_cost > v_rule.request_limit THEN p_cost ELSE 0 END,
        p_cost <= v_rule.request_limit
    FROM date_bin(v_rule.window_length, v_now, '2000-01-01 00:00:00+00') AS span (start)
    ON CONFLICT ON CONSTRAINT communication_rate_limits_pkey DO UPDATE
    SET
        window_end = excluded.window_end, request_limit = excluded.request_limit,
        request_count = counter.request_count + p_cost,
        refused_count = counter.refused_count + CASE
            WHEN counter.request_count - counter.refused_count + p_cost > excluded.request_limit THEN p_cost ELSE 0
        END,
        last_allowed = counter.request_count - counter.refused_count + p_cost <= excluded.request_limit
    RETURNING counter.* INTO v_row;
    allowed := v_row.last_allowed;
    remaining := greatest(v_row.request_limit - (v_row.request_count - v_row.refused_count), 0);
    request_limit := v_row.request_limit;
    retry_after := CASE WHEN allowed THEN interval '0' ELSE greatest(v_row.window_end - v_now, interval '0') END;
    IF NOT allowed AND v_row.refused_count = p_cost THEN
        PERFORM internal.record_security_event(
            p_organization_id, 'rate_limit_exceeded', p_identifier, NULL, false,
            jsonb_build_object('endpoint', p_endpoint, 'limit', v_row.request_limit)
        );
    END IF;
    RETURN NEXT;
END
$plpgsql$;

COMMENT ON FUNCTION public.check_rate_limit(uuid, text, text, integer) IS
'Count a request and say whether it may go on; a refusal is a row and is counted.';
REVOKE ALL ON FUNCTION public.check_rate_limit(uuid, text, text, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.check_rate_limit(uuid, text, text, integer) TO comms_app, comms_worker;
