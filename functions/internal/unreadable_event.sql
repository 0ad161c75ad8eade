CREATE OR REPLACE FUNCTION internal.unreadable_event(p_events jsonb) RETURNS text
LANGUAGE sql STABLE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Which part of the events given to record_delivery_events() internal.delivery_events() could not read: it reads
       much faster than it could tell. Returns something like "occurred_at of event 3", NULL if all can be read. */
    SELECT format('%s of event %s', flaw.name, given.item)
    FROM jsonb_array_elements(p_events) WITH ORDINALITY AS given (event, item)
    CROSS JOIN LATERAL (
        SELECT CASE
            WHEN jsonb_typeof(given.event) <> 'object' THEN 'provider'
            WHEN NOT pg_input_is_valid(given.event ->> 'occurred_at', 'timestamptz') THEN 'occurred_at'
            WHEN NOT pg_input_is_valid(given.event ->> 'recipient_id', 'uuid') THEN 'recipient_id'
        END
    ) AS flaw (name)
    WHERE flaw.name IS NOT NULL
    ORDER BY given.item
    LIMIT 1
$sql$;

COMMENT ON FUNCTION internal.unreadable_event(jsonb) IS
'Which part of the events given to record_delivery_events() cannot be read.';
REVOKE ALL ON FUNCTION internal.unreadable_event(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.unreadable_event(jsonb) TO comms_maintenance;
