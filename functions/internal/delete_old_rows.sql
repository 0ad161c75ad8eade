CREATE OR REPLACE FUNCTION internal.delete_old_rows(
    p_data_class text, p_before timestamptz, p_dry_run boolean, OUT affected bigint, OUT kept bigint, OUT detail text
) RETURNS record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Retention: delete rows of the small tables that are older than a moment. Checks of messages of an organization
   under a legal hold are kept. */
DECLARE
    v_table regclass;
    v_column name;
BEGIN
    kept := 0;
    IF p_data_class = 'canspam_compliance' THEN
        WITH old AS (
            SELECT
                checked.organization_id, checked.validation_id,
                EXISTS (
                    SELECT FROM public.legal_holds AS hold
                    WHERE hold.organization_id = checked.organization_id AND hold.lifted_at IS NULL
                ) AS is_held
            FROM public.communication_canspam_compliance AS checked
            WHERE checked.validation_timestamp < p_before
        ),
        deleted AS (
            DELETE FROM public.communication_canspam_compliance AS checked
            USING old
            WHERE
                NOT p_dry_run AND NOT old.is_held AND checked.organization_id = old.organization_id
                AND checked.validation_id = old.validation_id
        )
        SELECT count(*) FILTER (WHERE NOT old.is_held), count(*) FILTER (WHERE old.is_held), 'kept: a legal hold'
        INTO affected, kept, detail
        FROM old;
        RETURN;
    END IF;
    SELECT known.table_name, known.column_name INTO STRICT v_table, v_column
    FROM (
        VALUES
        ('communication_idempotency', 'public.communication_idempotency'::regclass, 'created_at'::name),
        ('delivery_event_keys', 'internal.delivery_event_keys', 'seen_at'),
        ('provider_messages', 'internal.provider_messages', 'created_at'),
        ('unmatched_delivery_events', 'internal.unmatched_delivery_events', 'received_at')
    ) AS known (data_class, table_name, column_name)
    WHERE known.data_class = p_data_class;
    IF p_dry_run THEN
        EXECUTE format('SELECT count(*) FROM %s AS old WHERE old.%I < $1', v_table, v_column)
        INTO affected USING p_before;
    ELSE
        EXECUTE format('DELETE FROM %s AS old WHERE old.%I < $1', v_table, v_column) USING p_before;
        GET DIAGNOSTICS affected = ROW_COUNT;
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.delete_old_rows(text, timestamptz, boolean) IS
'Retention: delete rows of the small tables that are older than a moment.';
REVOKE ALL ON FUNCTION internal.delete_old_rows(text, timestamptz, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.delete_old_rows(text, timestamptz, boolean) TO comms_maintenance;
