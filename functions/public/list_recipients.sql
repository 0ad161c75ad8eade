CREATE OR REPLACE FUNCTION public.list_recipients(
    p_organization_id uuid, p_communication_id uuid, p_status text DEFAULT NULL,
    p_after uuid DEFAULT NULL, p_limit integer DEFAULT 50
) RETURNS TABLE (
    recipient_key uuid, id uuid, guest_id uuid, recipient_name text, recipient_email text, recipient_phone text,
    status text, suppression_reason text, error_code text, attempts smallint, created_at timestamptz,
    sent_at timestamptz, delivered_at timestamptz, opened_at timestamptz, clicked_at timestamptz
)
LANGUAGE plpgsql STABLE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Planning anew for every call costs more than the call.
SET plan_cache_mode = force_generic_plan
-- Such a plan is for communications of average size: of a large one a page is read in order, not all of it.
SET enable_sort = off
AS $plpgsql$
/* Recipients of a communication in the order of their keys, page by page: p_after is the recipient_key of the last row.
   Complete and without overlap, whatever changes meanwhile. Nothing for an unknown communication.
   Raises GC390 for a page of other than 1 to 500 rows, GC391 for an unknown status. */
DECLARE
    v_created_at CONSTANT timestamptz := internal.uuid_v7_time(p_communication_id);
BEGIN
    PERFORM public.enter_tenant(p_organization_id);
    IF p_limit IS NULL OR p_limit NOT BETWEEN 1 AND 500 THEN
        RAISE EXCEPTION 'a page cannot have % rows', p_limit
        USING ERRCODE = 'GC390', HINT = 'Give p_limit from 1 to 500, and take the next page with p_after.';
    ELSIF p_status IS NOT NULL AND internal.status_rank(p_status) IS NULL THEN
        RAISE EXCEPTION 'a recipient is never "%"', p_status
        USING ERRCODE = 'GC391', HINT = 'Give a status such as queued, sent or delivered, or NULL for all.';
    END IF;
    -- Not in the query: under row security a comparison with coalesce() is a filter, no condition of the index.
    p_after := coalesce(p_after, '00000000-0000-0000-0000-000000000000');
    RETURN QUERY
    SELECT
        recipient.recipient_key, recipient.id, recipient.guest_id, recipient.recipient_name, recipient.recipient_email,
        recipient.recipient_phone, recipient.status, recipient.suppression_reason, recipient.error_code,
        recipient.attempts, recipient.created_at, recipient.sent_at, recipient.delivered_at, recipient.opened_at,
        recipient.clicked_at
    FROM public.communication_recipients AS recipient
    WHERE
        recipient.organization_id = p_organization_id AND recipient.communication_id = p_communication_id
        AND recipient.communication_created_at = v_created_at
        AND recipient.recipient_key > p_after
        AND (p_status IS NULL OR recipient.status = p_status)
    ORDER BY recipient.recipient_key
    LIMIT p_limit;
END
$plpgsql$;

COMMENT ON FUNCTION public.list_recipients(uuid, uuid, text, uuid, integer) IS
'Recipients of a communication with their states, page by page.';
REVOKE ALL ON FUNCTION public.list_recipients(uuid, uuid, text, uuid, integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.list_recipients(uuid, uuid, text, uuid, integer) TO comms_app;
