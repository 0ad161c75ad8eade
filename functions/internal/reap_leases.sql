SET LOCAL ROLE comms_maintenance; -- it sees every tenant
CREATE OR REPLACE FUNCTION internal.reap_leases(p_max integer DEFAULT 100) RETURNS integer
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET plan_cache_mode = force_generic_plan
AS $plpgsql$
/* Take back leases that ended without an answer, at most p_max of them. What was handed out under such a lease may
   have been sent: it becomes unknown and is not sent again by itself. The rest of the chunk is ready again; after
   max_attempts lost leases it is given up as a dead letter. Skips chunks that others work on; returns how many
   it took back. */
DECLARE
    v_batch public.communication_batch_queue;
    v_unknown bigint;
    v_reaped integer := 0;
BEGIN
    FOR v_batch IN
        WITH lost AS MATERIALIZED (
            SELECT ended.*
            FROM public.communication_batch_queue AS ended
            WHERE ended.state = 'leased' AND ended.lease_until < clock_timestamp()
            ORDER BY ended.lease_until
            LIMIT p_max
            FOR UPDATE SKIP LOCKED
        )
        -- Recipients are locked in the order of their keys, over all chunks.
        SELECT lost.* FROM lost ORDER BY lost.organization_id, lost.first_recipient_id
    LOOP
        v_batch.attempts := v_batch.attempts + 1;
        IF v_batch.attempts >= v_batch.max_attempts THEN
            PERFORM internal.lock_chunk(v_batch, true);
        END IF;
        v_unknown := internal.mark_unknown(
            v_batch, 'lease_lost', format('%s did not answer', v_batch.leased_by)
        );
        v_batch.last_error := format('%s did not answer until %s', v_batch.leased_by, v_batch.lease_until);
        IF v_batch.attempts >= v_batch.max_attempts THEN
            PERFORM internal.bury_recipients(v_batch, 'leases_lost', v_batch.last_error);
        END IF;
        PERFORM internal.settle_batch(v_batch, v_unknown::integer);
        v_reaped := v_reaped + 1;
    END LOOP;
    RETURN v_reaped;
END
$plpgsql$;

COMMENT ON FUNCTION internal.reap_leases(integer) IS
'Take back leases that ended without an answer: what was handed out is unknown, the rest ready or a dead letter.';
REVOKE ALL ON FUNCTION internal.reap_leases(integer) FROM PUBLIC;
