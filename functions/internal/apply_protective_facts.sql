SET LOCAL ROLE comms_maintenance; -- it concerns every tenant
CREATE OR REPLACE FUNCTION internal.apply_protective_facts(p_kind text, p_facts jsonb) RETURNS bigint
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
SET timezone = 'UTC'
AS $plpgsql$
/* Tell a restored database what protective_facts() found in the one that went on: p_facts is an array of facts of one
   kind, a thousand at a time; kinds in the order in which they came. Returns how many of them changed something: again
   they change nothing. What concerns an organization or a guest that this database has never heard of is passed over:
   nothing is queued for them.
   Raises GC368 unless sending is frozen, GC369 for another kind or facts that are no array. */
BEGIN
    IF NOT (SELECT state.frozen FROM internal.sending_state AS state) THEN
        RAISE EXCEPTION 'sending is not frozen: what is queued may be sent while facts are applied'
        USING ERRCODE = 'GC368', HINT = 'SELECT freeze_sending(''restored''); then apply all of them from the first.';
    ELSIF jsonb_typeof(p_facts) IS DISTINCT FROM 'array' THEN
        RAISE EXCEPTION 'facts are an array, not %', coalesce(jsonb_typeof(p_facts), 'NULL')
        USING ERRCODE = 'GC369', HINT = 'Give what protective_facts() returned, as an array.';
    END IF;
    CASE p_kind
        WHEN 'organization' THEN RETURN internal.carry_organizations(p_facts);
        WHEN 'key' THEN RETURN internal.carry_keys(p_facts);
        WHEN 'suppression' THEN RETURN internal.carry_suppressions(p_facts);
        WHEN 'withdrawal' THEN RETURN internal.carry_withdrawals(p_facts);
        WHEN 'preference' THEN RETURN internal.carry_preferences(p_facts);
        WHEN 'cancellation' THEN RETURN internal.carry_cancellations(p_facts);
        WHEN 'communication' THEN RETURN internal.carry_communications(p_facts);
        WHEN 'message' THEN RETURN internal.carry_messages(p_facts);
        WHEN 'request' THEN RETURN internal.carry_requests(p_facts);
        WHEN 'erasure' THEN RETURN internal.carry_erasures(p_facts);
        ELSE
            RAISE EXCEPTION 'there is no kind of protective facts "%"', p_kind
            USING ERRCODE = 'GC369', HINT = 'protective_facts() names the kinds; migrate this database if they are newer.';
    END CASE;
END
$plpgsql$;

COMMENT ON FUNCTION internal.apply_protective_facts(text, jsonb) IS
'Tell a restored database what protective_facts() found in the one that went on; harmless to repeat.';
REVOKE ALL ON FUNCTION internal.apply_protective_facts(text, jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.apply_protective_facts(text, jsonb) TO comms_agent;
