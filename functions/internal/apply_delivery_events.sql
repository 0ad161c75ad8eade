SET LOCAL ROLE comms_maintenance; -- events matched by the job are of every tenant
CREATE OR REPLACE FUNCTION internal.apply_delivery_events(p_organization_id uuid, p_events jsonb)
RETURNS TABLE (accepted bigint, duplicates bigint, unmatched bigint)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* What record_delivery_events() says, without asking who calls. One statement: it locks the recipients in the order
   of their keys, as every call does, so that no two calls wait for each other in a circle. An event that its recipient
   has had is none. A recipient's state becomes the one of greatest rank, each of its times the earliest, and the error
   that of the event that moved it. */
DECLARE
    v_flaw text;
BEGIN
    IF jsonb_typeof(p_events) IS DISTINCT FROM 'array' OR jsonb_array_length(p_events) > 1000 THEN
        RAISE EXCEPTION 'the events are no array of at most 1000: %', left(p_events::text, 100)
        USING ERRCODE = 'GC380', HINT = 'Give a JSON array of objects; more than 1000 in several calls.';
    END IF;
    BEGIN
        WITH given AS MATERIALIZED (
            SELECT
                event.*, internal.status_rank(event.status) AS rank,
                CASE
                    WHEN event.flaw IS NULL THEN coalesce(
                        event.recipient_id,
                        (
                            SELECT message.recipient_id
                            FROM internal.provider_messages AS message
                            WHERE message.organization_id = p_organization_id AND message.provider = event.provider
                                AND message.provider_message_id = event.provider_message_id
                        )
                    )
                END AS known_id
            FROM internal.delivery_events(p_events) AS event
        ), met AS MATERIALIZED ( -- with its recipient, locked; a second event finds it locked by the first
            SELECT
                wanted.*, recipient.id, recipient.communication_id, recipient.communication_created_at,
                recipient.channel, recipient.address_hash, recipient.status AS old_status, recipient.attempts
            FROM (
                SELECT given.*, internal.uuid_v7_time(given.known_id) AS known_created_at
                FROM given ORDER BY given.known_id OFFSET 0 -- the time is computed once
            ) AS wanted
            LEFT JOIN LATERAL (
                SELECT
                    known.id, known.communication_id, known.communication_created_at, known.channel, known.address_hash,
                    known.status, known.attempts
                FROM public.communication_recipients AS known
                WHERE known.organization_id = p_organization_id AND known.id = wanted.known_id
                    AND known.communication_created_at = wanted.known_created_at
                FOR NO KEY UPDATE
            ) AS recipient ON true
        ), fresh AS ( -- asked once all of them are locked: it sees what who held them before has written
            SELECT unseen.item
            FROM (
                SELECT
                    array_agg(met.item) AS items, array_agg(met.id) AS recipient_ids,
                    array_agg(met.event_key) AS event_keys
                FROM met
                WHERE met.id IS NOT NULL
            ) AS known
            CROSS JOIN LATERAL internal.unseen_events(
                p_organization_id, known.items, known.recipient_ids, known.event_keys
            ) AS unseen (item)
        ), event AS MATERIALIZED (
            SELECT DISTINCT ON (met.id, met.event_key) met.*
            FROM fresh
            JOIN met ON met.item = fresh.item
            ORDER BY met.id, met.event_key, met.item
        ), stored AS (
            INSERT INTO public.delivery_status (
                organization_id, recipient_id, event_key, communication_id, communication_created_at, channel, provider,
                provider_event_id, status, error_code, error_message, occurred_at
            )
            SELECT
                p_organization_id, event.id, event.event_key, event.communication_id, event.communication_created_at,
                event.channel, event.provider, event.provider_event_id, event.status, event.error_code,
                event.error_message, event.occurred_at
            FROM event ORDER BY event.id
        ), change AS MATERIALIZED (
            SELECT
                event.id, event.communication_id, event.communication_created_at, event.old_status,
                -- What was never handed out and is not going to be keeps its state, whatever is said of it.
                max(event.rank) > internal.status_rank(event.old_status)
                AND (event.attempts > 0 OR event.old_status NOT IN ('suppressed', 'cancelled')) AS moves,
                (array_agg(event.status ORDER BY event.rank DESC NULLS LAST, event.occurred_at))[1] AS status,
                (array_agg(event.error_code ORDER BY event.rank DESC NULLS LAST, event.occurred_at))[1] AS error_code,
                (array_agg(event.error_message ORDER BY event.rank DESC NULLS LAST, event.occurred_at))[1]
                AS error_message,
                min(event.occurred_at) FILTER (WHERE event.status = 'sent') AS sent_at,
                min(event.occurred_at) FILTER (WHERE event.status = 'deferred') AS deferred_at,
                min(event.occurred_at) FILTER (WHERE event.status = 'delivered') AS delivered_at,
                min(event.occurred_at) FILTER (WHERE event.status = 'opened') AS opened_at,
                min(event.occurred_at) FILTER (WHERE event.status = 'clicked') AS clicked_at,
                min(event.occurred_at) FILTER (WHERE event.status = 'failed') AS failed_at,
                min(event.occurred_at) FILTER (WHERE event.status = 'bounced') AS bounced_at,
                min(event.occurred_at) FILTER (WHERE event.status = 'unsubscribed') AS unsubscribed_at,
                min(event.occurred_at) FILTER (WHERE event.status = 'complained') AS complained_at
            FROM event
            GROUP BY
                event.id, event.communication_id, event.communication_created_at, event.old_status, event.attempts
        ), moved AS (
            UPDATE public.communication_recipients AS known
            SET status = CASE WHEN change.moves THEN change.status ELSE known.status END,
                error_code = CASE WHEN change.moves THEN change.error_code ELSE known.error_code END,
                error_message = CASE WHEN change.moves THEN change.error_message ELSE known.error_message END,
                next_attempt_at = CASE WHEN change.moves THEN NULL ELSE known.next_attempt_at END,
                sent_at = least(known.sent_at, change.sent_at),
                deferred_at = least(known.deferred_at, change.deferred_at),
                delivered_at = least(known.delivered_at, change.delivered_at),
                opened_at = least(known.opened_at, change.opened_at),
                clicked_at = least(known.clicked_at, change.clicked_at),
                failed_at = least(known.failed_at, change.failed_at),
                bounced_at = least(known.bounced_at, change.bounced_at),
                unsubscribed_at = least(known.unsubscribed_at, change.unsubscribed_at),
                complained_at = least(known.complained_at, change.complained_at)
            FROM change
            -- The second condition says nothing new. A plan for everybody is for organizations of average size: it
            -- may read one whole but for this.
            WHERE known.organization_id = p_organization_id AND known.id = ANY (ARRAY(SELECT change.id FROM change))
                AND known.id = change.id
                AND known.communication_created_at = change.communication_created_at
        ), counted AS (
            INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
            SELECT p_organization_id, change.communication_id, counter.status, sum(counter.delta)
            FROM change
            CROSS JOIN LATERAL (VALUES (change.old_status, -1), (change.status, 1)) AS counter (status, delta)
            WHERE change.moves
            GROUP BY change.communication_id, counter.status
            HAVING sum(counter.delta) <> 0
        ), ended AS ( -- whoever unsubscribes consents to nothing; before he is suppressed, as in unsubscribe()
            SELECT count(internal.end_consent(
                p_organization_id, gone.channel, gone.address_hash, NULL,
                jsonb_build_object('method', 'unsubscribe', 'source', gone.recipient_id)
            )) AS addresses
            FROM (
                SELECT DISTINCT ON (event.channel, event.address_hash)
                    event.channel, event.address_hash, event.id AS recipient_id
                FROM event
                WHERE event.status = 'unsubscribed' AND event.address_hash IS NOT NULL AND event.channel <> 'in_app'
                ORDER BY event.channel, event.address_hash, event.id
            ) AS gone
        ), barred AS (
            INSERT INTO public.suppressions AS bar (
                organization_id, channel, address_hash, reason, recipient_id
            )
            SELECT DISTINCT ON (event.channel, event.address_hash)
                p_organization_id, event.channel, event.address_hash, verdict.reason, event.id
            FROM ended
            CROSS JOIN event
            JOIN (
                VALUES
                ('complained', 'complaint', 3), ('bounced', 'hard_bounce', 2), ('unsubscribed', 'unsubscribe', 1)
            ) AS verdict (status, reason, weight) ON verdict.status = event.status
            WHERE event.address_hash IS NOT NULL AND event.channel <> 'in_app'
            ORDER BY event.channel, event.address_hash, verdict.weight DESC, event.id
            -- In any order the same: what holds for all and for ever, with the gravest reason.
            ON CONFLICT (organization_id, channel, address_hash) DO UPDATE
            SET scope = 'all',
                reason = CASE
                    WHEN bar.scope <> 'all' OR excluded.reason = 'complaint'
                        OR (bar.reason = 'unsubscribe' AND excluded.reason = 'hard_bounce')
                        THEN excluded.reason
                    ELSE bar.reason
                END,
                recipient_id = coalesce(bar.recipient_id, excluded.recipient_id),
                expires_at = NULL
            WHERE bar.scope <> 'all' OR bar.expires_at IS NOT NULL
                OR (bar.reason <> 'complaint' AND excluded.reason = 'complaint')
                OR (bar.reason = 'unsubscribe' AND excluded.reason = 'hard_bounce')
        ), kept AS (
            INSERT INTO internal.unmatched_delivery_events (
                claimed_organization, provider, provider_event_id, recipient_id, provider_message_id, status,
                error_code, error_message, occurred_at
            )
            SELECT
                p_organization_id, met.provider, met.provider_event_id, met.recipient_id, met.provider_message_id,
                met.status, met.error_code, met.error_message, met.occurred_at
            FROM met
            WHERE met.id IS NULL AND met.flaw IS NULL
            ORDER BY met.provider, met.provider_event_id
            ON CONFLICT DO NOTHING
            RETURNING 1
        )
        SELECT
            (SELECT count(*) FROM event),
            (SELECT count(*) FROM kept),
            (SELECT count(*) FROM given),
            (
                SELECT format('%s of event %s', given.flaw, given.item)
                FROM given WHERE given.flaw IS NOT NULL ORDER BY given.item LIMIT 1
            )
        INTO accepted, unmatched, duplicates, v_flaw;
    EXCEPTION WHEN data_exception THEN
        v_flaw := internal.unreadable_event(p_events);
        IF v_flaw IS NULL THEN
            RAISE;
        END IF;
    END;
    IF v_flaw IS NOT NULL THEN
        RAISE EXCEPTION '% is missing or not usable', v_flaw
        USING ERRCODE = 'GC381',
            HINT = 'Nothing was recorded. Each event needs provider, provider_event_id, a known status, occurred_at'
            ' (not before 2000, not after tomorrow), and recipient_id or provider_message_id.';
    END IF;
    duplicates := duplicates - accepted - unmatched;
    RETURN NEXT;
END
$plpgsql$;

COMMENT ON FUNCTION internal.apply_delivery_events(uuid, jsonb) IS
'Record what providers report on messages of an organization: record_delivery_events() without asking who calls.';
REVOKE ALL ON FUNCTION internal.apply_delivery_events(uuid, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.apply_delivery_events(uuid, jsonb) TO comms_owner;
