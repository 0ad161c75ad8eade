SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION internal.carry_cancellations(p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* For apply_protective_facts(): communications that were cancelled. Who is queued becomes cancelled when the chunk is
   claimed. Returns how many communications changed. */
DECLARE
    v_changed bigint;
BEGIN
    UPDATE public.guest_communications AS message
    SET status = 'cancelled', cancelled_at = fact.cancelled_at
    FROM jsonb_populate_recordset(NULL::public.guest_communications, p_facts) AS fact
    WHERE
        message.organization_id = fact.organization_id AND message.id = fact.id
        AND message.created_at = fact.created_at AND message.status NOT IN ('cancelled', 'sent');
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.carry_cancellations(jsonb) IS
'Facts for a restored database: communications that are cancelled.';
REVOKE ALL ON FUNCTION internal.carry_cancellations(jsonb) FROM PUBLIC;
