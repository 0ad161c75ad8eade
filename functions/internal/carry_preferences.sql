SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION internal.carry_preferences(p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* For apply_protective_facts(): wishes of guests that are newer than those known here. Which channel a guest likes best
   is not among them: it forbids nothing. Returns how many changed. */
DECLARE
    v_changed bigint;
BEGIN
    INSERT INTO public.communication_preferences AS known (
        organization_id, guest_id, channel, allowed, quiet_from, quiet_until, max_messages, per_interval, language,
        updated_at, updated_by
    )
    SELECT
        fact.organization_id, fact.guest_id, fact.channel, fact.allowed, fact.quiet_from, fact.quiet_until,
        fact.max_messages, fact.per_interval, fact.language, fact.updated_at, fact.updated_by
    FROM jsonb_populate_recordset(NULL::public.communication_preferences, p_facts) AS fact
    JOIN public.guests AS guest ON guest.organization_id = fact.organization_id AND guest.guest_id = fact.guest_id
    WHERE guest.erased_at IS NULL
    ORDER BY fact.organization_id, fact.guest_id, fact.channel
    ON CONFLICT (organization_id, guest_id, channel) DO UPDATE
    SET
        allowed = excluded.allowed, quiet_from = excluded.quiet_from, quiet_until = excluded.quiet_until,
        max_messages = excluded.max_messages, per_interval = excluded.per_interval, language = excluded.language,
        updated_at = excluded.updated_at, updated_by = excluded.updated_by
    WHERE known.updated_at < excluded.updated_at;
    GET DIAGNOSTICS v_changed = ROW_COUNT;
    RETURN v_changed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.carry_preferences(jsonb) IS
'Facts for a restored database: wishes of guests.';
REVOKE ALL ON FUNCTION internal.carry_preferences(jsonb) FROM PUBLIC;
