CREATE OR REPLACE FUNCTION internal.batch_results(p_results jsonb) RETURNS TABLE (
    recipient_id uuid, outcome text, status text, provider text, provider_message_id text, error_code text,
    error_message text
)
LANGUAGE sql IMMUTABLE PARALLEL SAFE ROWS 100
/* The results given to complete_batch(), a row for each. recipient_id is NULL where one is not usable: no UUID, no
   such outcome, sent without provider, or a name of the provider that is too long. Becomes a part of the query. */
BEGIN ATOMIC
    SELECT
        CASE
            WHEN
                known.status IS NOT NULL AND pg_input_is_valid(result.recipient_id, 'uuid')
                AND (result.outcome <> 'sent' OR result.provider IS NOT NULL)
                AND coalesce(length(result.provider), 0) <= 100
                AND coalesce(length(result.provider_message_id), 0) <= 500
                THEN result.recipient_id::uuid
        END,
        result.outcome,
        known.status,
        result.provider,
        result.provider_message_id,
        left(result.error_code, 100),
        left(result.error_message, 1000)
    FROM (
        SELECT
            given.item ->> 'recipient_id' AS recipient_id,
            given.item ->> 'outcome' AS outcome,
            given.item ->> 'provider' AS provider,
            given.item ->> 'provider_message_id' AS provider_message_id,
            given.item ->> 'error_code' AS error_code,
            given.item ->> 'error_message' AS error_message
        FROM jsonb_array_elements(p_results) AS given (item)
        OFFSET 0 -- once for each result, not wherever one is mentioned
    ) AS result
    LEFT JOIN (
        VALUES
        ('sent', 'sent'), ('temporary', 'queued'), ('permanent', 'failed'), ('unknown', 'unknown'),
        ('not_attempted', 'queued')
    ) AS known (outcome, status) ON known.outcome = result.outcome;
END;

COMMENT ON FUNCTION internal.batch_results(jsonb) IS
'The results given to complete_batch(), a row for each; recipient_id is NULL where one is not usable.';
REVOKE ALL ON FUNCTION internal.batch_results(jsonb) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.batch_results(jsonb) TO comms_maintenance;
