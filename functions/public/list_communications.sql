CREATE OR REPLACE FUNCTION public.list_communications(
    p_organization_id uuid, p_status text DEFAULT NULL, p_type text DEFAULT NULL,
    p_from timestamptz DEFAULT NULL, p_to timestamptz DEFAULT NULL,
    p_after uuid DEFAULT NULL, p_limit integer DEFAULT 50
) RETURNS TABLE (
    id uuid, created_at timestamptz, message_title text, message_type text, message_category text, purpose text,
    status text, scheduled_for timestamptz, total_recipients bigint, sent_count bigint, delivered_count bigint,
    failed_count bigint, suppressed_count bigint
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Planning anew for every call costs more than the call.
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* Communications of an organization, newest first, made from p_from on and before p_to, without archived ones. The next
   page: p_after is the id of the last row. Counters follow within a minute, communication_progress() is exact.
   Raises GC390 for a page of other than 1 to 500 rows, GC391 for an unknown status or type. */
DECLARE
    v_before timestamptz;
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 500 THEN
        RAISE EXCEPTION 'a page cannot have % rows', p_limit
        USING ERRCODE = 'GC390', HINT = 'Give p_limit from 1 to 500, and take the next page with p_after.';
    ELSIF p_status NOT IN ('draft', 'scheduled', 'sending', 'sent', 'cancelled') THEN
        RAISE EXCEPTION 'a communication is never "%"', p_status
        USING ERRCODE = 'GC391', HINT = 'Give draft, scheduled, sending, sent or cancelled, or NULL for all.';
    ELSIF p_type NOT IN ('email', 'sms', 'push', 'in_app') THEN
        RAISE EXCEPTION 'there is no channel "%"', p_type
        USING ERRCODE = 'GC391', HINT = 'Give email, sms, push or in_app, or NULL for all.';
    END IF;
    -- Not in the query: under row security a comparison with coalesce() is a filter, no condition of the index.
    p_from := coalesce(p_from, '-infinity');
    p_to := coalesce(p_to, 'infinity');
    v_before := coalesce(internal.uuid_v7_time(p_after), 'infinity');
    p_after := coalesce(p_after, 'ffffffff-ffff-ffff-ffff-ffffffffffff');
    RETURN QUERY
    SELECT
        message.id, message.created_at, message.message_title, message.message_type, message.message_category,
        message.purpose, message.status, message.scheduled_for, message.total_recipients, message.sent_count,
        message.delivered_count, message.failed_count, message.suppressed_count
    FROM public.guest_communications AS message
    WHERE
        message.organization_id = p_organization_id
        AND message.created_at >= p_from AND message.created_at < p_to
        AND (message.created_at, message.id) < (v_before, p_after)
        AND (p_status IS NULL OR message.status = p_status)
        AND (p_type IS NULL OR message.message_type = p_type)
        AND NOT message.is_archived
    ORDER BY message.created_at DESC, message.id DESC
    LIMIT p_limit;
END
$plpgsql$;

COMMENT ON FUNCTION public.list_communications(uuid, text, text, timestamptz, timestamptz, uuid, integer) IS
'Communications of an organization, newest first, page by page.';
REVOKE ALL ON FUNCTION public.list_communications(
    uuid, text, text, timestamptz, timestamptz, uuid, integer
) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.list_communications(
    uuid, text, text, timestamptz, timestamptz, uuid, integer
) TO comms_app;
