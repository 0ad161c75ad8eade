SET LOCAL ROLE comms_maintenance; -- a worker serves every tenant
CREATE OR REPLACE FUNCTION public.claim_batches(
    p_worker text, p_max integer DEFAULT 1, p_lease interval DEFAULT '60 seconds', p_messages integer DEFAULT 100,
    p_channels text[] DEFAULT NULL
) RETURNS TABLE (
    organization_id uuid, batch_id text, communication_id uuid, lease_token uuid, lease_until timestamptz,
    recipient_ids uuid[]
)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* Lease up to p_max chunks to a worker and hand out up to p_messages recipients of each: a row for each chunk, never
   one that is leased already. Organizations take turns whatever the priority; of the organization whose turn it is the
   most urgent chunk comes first. p_channels are those that the worker speaks, NULL all of them; turns are taken in
   each. Commit before you send; then answer with complete_batch() or fail_batch() before lease_until. What nobody
   answers for becomes unknown and is not sent again: fewer p_messages, fewer of them.
   Recipients that may not be written to any more are suppressed here, those with quiet hours postponed; those who came
   back from a worker after their communication was cancelled are cancelled, too.
   Nothing while sending is frozen. A chunk of an organization that is not active is put off by 5 minutes.
   Raises GC360 for a worker without name, p_max or p_messages outside of 1 to 100 or 1000, a lease outside of 1 second
   to 1 hour, and channels that there are none. */
DECLARE
    v_known constant text[] := ARRAY['email', 'sms', 'push', 'in_app'];
    v_channels constant text[] := coalesce(p_channels, v_known);
    v_next record;
    v_urgent record;
    v_place tid;
    v_batch public.communication_batch_queue;
    v_message record;
    v_ids uuid[];
    v_guests uuid[];
    v_hashes bytea[];
    v_second bigint := extract(EPOCH FROM clock_timestamp());
    v_tended boolean := false;
    v_holds boolean := false;
    v_tries integer := p_max + 50; -- a call ends soon, even if whole chunks are suppressed or postponed
BEGIN
    IF length(p_worker) BETWEEN 1 AND 200 AND p_max BETWEEN 1 AND 100 AND p_messages BETWEEN 1 AND 1000
        AND p_lease BETWEEN interval '1 second' AND interval '1 hour'
        AND v_channels <@ v_known AND cardinality(v_channels) > 0
    THEN
        NULL;
    ELSE
        RAISE EXCEPTION 'worker "%" cannot claim % chunks of % messages by % for %',
            p_worker, p_max, p_messages, v_channels, p_lease
        USING ERRCODE = 'GC360',
            HINT = 'Give a name, 1 to 100 chunks, a lease from 1 second to 1 hour, 1 to 1000 messages, and channels of '
                'email, sms, push and in_app, or NULL for all.';
    END IF;
    IF (SELECT state.frozen FROM internal.sending_state AS state) THEN
        RETURN;
    END IF;
    -- Once a second some claim tends the queue, and looks from its very beginning.
    IF pg_sequence_last_value('internal.queue_tended'::regclass) IS DISTINCT FROM v_second THEN
        PERFORM setval('internal.queue_tended'::regclass, v_second);
        PERFORM internal.tend_queue();
        v_tended := true;
    END IF;
    WHILE p_max > 0 AND v_tries > 0 LOOP
        v_tries := v_tries - 1;
        -- Behind the front of each channel, not from its beginning: there lie the dead rows of earlier claims, as
        -- long as some transaction may see them. What is missed so is found once a second, or at the end.
        SELECT next.chunk, next.place, lane.front INTO v_next
        FROM (
            SELECT
                speaks.channel,
                CASE
                    WHEN NOT v_tended
                        THEN pg_sequence_last_value(format('internal.queue_front_%s', speaks.channel)::regclass)
                END AS front
            FROM unnest(v_channels) AS speaks (channel)
            OFFSET 0 -- each sequence is read once
        ) AS lane
        CROSS JOIN LATERAL (
            SELECT ready AS chunk, ready.ctid AS place, ready.fair_rank
            FROM public.communication_batch_queue AS ready
            WHERE ready.state = 'ready' AND ready.operation_type = 'send'
                AND ready.channel = lane.channel AND ready.fair_rank >= coalesce(lane.front, -1)
            ORDER BY ready.fair_rank, ready.organization_id, ready.batch_id
            LIMIT 1
            FOR UPDATE SKIP LOCKED
        ) AS next
        ORDER BY next.fair_rank
        LIMIT 1;
        IF NOT FOUND THEN
            EXIT WHEN v_tended;
            -- Whoever holds messages already does not wait for others, who may wait for these.
            IF NOT v_holds THEN
                PERFORM internal.tend_queue();
            END IF;
            v_tended := true;
            CONTINUE;
        END IF;
        v_batch := v_next.chunk;
        v_place := v_next.place;
        -- A hundred dead rows are read faster than a sequence is set.
        IF v_batch.fair_rank > coalesce(v_next.front, 0) + 100 AND NOT v_tended THEN
            PERFORM setval(format('internal.queue_front_%s', v_batch.channel)::regclass, v_batch.fair_rank);
        END IF;
        -- The place is the organization's. Its most urgent chunk takes it and gives its own in exchange, so that
        -- priority moves nobody else.
        SELECT urgent AS chunk, urgent.ctid AS place INTO v_urgent
        FROM public.communication_batch_queue AS urgent
        WHERE urgent.state = 'ready' AND urgent.operation_type = 'send'
            AND urgent.organization_id = v_batch.organization_id AND urgent.channel = v_batch.channel
            AND urgent.priority < v_batch.priority
            AND urgent.fair_rank >= CASE WHEN v_tended THEN -1 ELSE coalesce(v_next.front, -1) END
        ORDER BY urgent.priority, urgent.fair_rank
        LIMIT 1
        FOR UPDATE SKIP LOCKED;
        IF FOUND THEN
            UPDATE public.communication_batch_queue AS chunk
            SET fair_rank = (v_urgent.chunk).fair_rank
            WHERE chunk.ctid = v_place;
            v_batch := v_urgent.chunk;
            v_batch.fair_rank := (v_next.chunk).fair_rank;
            v_place := v_urgent.place;
        END IF;
        SELECT organization.state, organization.time_zone, message.status, message.message_type, message.message_category,
            message.purpose, message.lawful_basis, message.window_from, message.window_until
        INTO STRICT v_message
        FROM public.guest_communications AS message
        JOIN public.organizations AS organization ON organization.organization_id = message.organization_id
        WHERE message.organization_id = v_batch.organization_id AND message.id = v_batch.communication_id
            AND message.created_at = v_batch.communication_created_at;
        IF v_message.state <> 'active' THEN
            UPDATE public.communication_batch_queue AS chunk
            SET state = 'scheduled', run_at = clock_timestamp() + interval '5 minutes'
            WHERE chunk.ctid = v_place;
            CONTINUE;
        END IF;
        v_batch.leased_at := clock_timestamp();
        v_holds := true;
        SELECT array_agg(slice.id), array_agg(slice.guest_id), array_agg(slice.address_hash)
        INTO v_ids, v_guests, v_hashes
        FROM (
            SELECT queued.id, queued.guest_id, queued.address_hash
            FROM public.communication_recipients AS queued
            WHERE queued.organization_id = v_batch.organization_id
                AND queued.communication_created_at = v_batch.communication_created_at
                AND queued.id BETWEEN v_batch.first_recipient_id AND v_batch.last_recipient_id
                AND queued.status = 'queued'
                AND (queued.next_attempt_at IS NULL OR queued.next_attempt_at <= v_batch.leased_at)
            ORDER BY queued.id
            LIMIT p_messages
            FOR NO KEY UPDATE SKIP LOCKED
        ) AS slice;
        WITH judged AS MATERIALIZED (
            SELECT
                v_ids[gate.item] AS id, gate.suppression_reason, gate.consent_event_id,
                CASE
                    WHEN gate.suppression_reason IS NULL
                        AND (v_message.window_from IS NOT NULL OR gate.quiet_from IS NOT NULL)
                        THEN nullif(
                            internal.next_allowed_at(
                                v_batch.leased_at, gate.time_zone, v_message.window_from, v_message.window_until,
                                gate.quiet_from, gate.quiet_until
                            ),
                            v_batch.leased_at
                        )
                END AS not_before
            FROM internal.contact_gates(
                v_batch.organization_id, v_message.message_type, v_message.message_category, v_message.purpose,
                v_message.lawful_basis, v_guests, v_hashes
            ) AS gate
        ), moved AS (
            UPDATE public.communication_recipients AS recipient
            SET status = verdict.status,
                attempts = recipient.attempts + (verdict.status = 'sending')::integer,
                sending_at = CASE WHEN verdict.status = 'sending' THEN v_batch.leased_at END,
                permitted_at = v_batch.leased_at,
                next_attempt_at = judged.not_before,
                consent_event_id = coalesce(judged.consent_event_id, recipient.consent_event_id),
                suppression_reason = CASE WHEN verdict.status = 'suppressed' THEN judged.suppression_reason END,
                cancelled_at = CASE WHEN verdict.status = 'cancelled' THEN v_batch.leased_at END,
                suppressed_at = CASE WHEN verdict.status = 'suppressed' THEN v_batch.leased_at END
            FROM judged
            CROSS JOIN LATERAL (
                SELECT CASE
                    WHEN v_message.status = 'cancelled' THEN 'cancelled'
                    WHEN judged.suppression_reason IS NOT NULL THEN 'suppressed'
                    WHEN judged.not_before IS NOT NULL THEN 'queued'
                    ELSE 'sending'
                END
            ) AS verdict (status)
            WHERE recipient.organization_id = v_batch.organization_id AND recipient.id = judged.id
                AND recipient.communication_created_at = v_batch.communication_created_at
                -- A plan for everybody is for organizations of average size: it may read one whole but for this.
                AND recipient.id BETWEEN v_ids[1] AND v_ids[cardinality(v_ids)]
            RETURNING recipient.id, recipient.status
        ), counted AS (
            INSERT INTO internal.communication_counter_deltas (organization_id, communication_id, status, delta)
            SELECT v_batch.organization_id, v_batch.communication_id, change.status, change.delta
            FROM (
                SELECT moved.status, count(*) AS delta FROM moved WHERE moved.status <> 'queued' GROUP BY moved.status
                UNION ALL
                SELECT 'queued', -count(*) FROM moved WHERE moved.status <> 'queued' HAVING count(*) > 0
            ) AS change
        )
        SELECT array_agg(moved.id ORDER BY moved.id) INTO v_ids FROM moved WHERE moved.status = 'sending';
        IF v_ids IS NULL THEN
            PERFORM internal.settle_batch(v_batch, 1);
            CONTINUE;
        END IF;
        UPDATE public.communication_batch_queue AS chunk
        SET state = 'leased', lease_token = gen_random_uuid(), leased_by = p_worker, leased_at = v_batch.leased_at,
            handed_out = cardinality(v_ids), lease_until = v_batch.leased_at + p_lease, fair_rank = v_batch.fair_rank
        WHERE chunk.ctid = v_place
        RETURNING chunk.lease_token, chunk.lease_until INTO STRICT v_batch.lease_token, v_batch.lease_until;
        organization_id := v_batch.organization_id;
        batch_id := v_batch.batch_id;
        communication_id := v_batch.communication_id;
        lease_token := v_batch.lease_token;
        lease_until := v_batch.lease_until;
        recipient_ids := v_ids;
        RETURN NEXT;
        p_max := p_max - 1;
    END LOOP;
END
$plpgsql$;

COMMENT ON FUNCTION public.claim_batches(text, integer, interval, integer, text[]) IS
'Lease chunks of messages to a worker and hand out what may be sent now: a row for each chunk.';
REVOKE ALL ON FUNCTION public.claim_batches(text, integer, interval, integer, text[]) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.claim_batches(text, integer, interval, integer, text[]) TO comms_worker;
