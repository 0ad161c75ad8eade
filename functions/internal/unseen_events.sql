CREATE OR REPLACE FUNCTION internal.unseen_events(
    p_organization_id uuid, p_items bigint[], p_recipient_ids uuid[], p_event_keys uuid[]
) RETURNS SETOF bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
SET enable_seqscan = off
AS $plpgsql$
/* Those of these events that their recipients, whom the caller has locked, have not had in the last weeks: providers
   repeat them for days. Volatile, so that it sees what was committed until now, and not only until its caller's
   statement began (https://www.postgresql.org/docs/17/xfunc-volatility.html). The key of delivery_status leads to each;
   a plan made while a month is empty would read it whole ever after. */
BEGIN
    RETURN QUERY
    SELECT given.item
    FROM unnest(p_items, p_recipient_ids, p_event_keys) AS given (item, recipient_id, event_key)
    WHERE NOT coalesce((
        SELECT true
        FROM public.delivery_status AS seen
        WHERE seen.organization_id = p_organization_id AND seen.recipient_id = given.recipient_id
            AND seen.event_key = given.event_key
            AND seen.created_at BETWEEN now() - interval '35 days' AND now() + interval '1 day'
        LIMIT 1
    ), false);
END
$plpgsql$;

COMMENT ON FUNCTION internal.unseen_events(uuid, bigint[], uuid[], uuid[]) IS
'Those of these events that their recipients have not had in the last weeks.';
REVOKE ALL ON FUNCTION internal.unseen_events(uuid, bigint[], uuid[], uuid[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.unseen_events(uuid, bigint[], uuid[], uuid[]) TO comms_maintenance;
