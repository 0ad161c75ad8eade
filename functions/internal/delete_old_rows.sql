CREATE OR REPLACE FUNCTION internal.delete_old_rows(
    p_data_class text, p_before timestamptz, p_dry_run boolean, OUT affected bigint, OUT kept bigint, OUT detail text
) RETURNS record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Retention: delete rows of the small tables that are older than a moment. Checks of messages of an organization
   under a legal hold are kept. */
DECLARE
    v_table text;
    v_column text;
    v_held text := '';
BEGIN
    SELECT known.table_name, known.column_name INTO STRICT v_table, v_column
    FROM (
        VALUES
        ('communication_idempotency', 'public.communication_idempotency', 'created_at'),
        ('delivery_event_keys', 'internal.delivery_event_keys', 'seen_at'),
        ('provider_messages', 'internal.provider_messages', 'created_at'),
        ('unmatched_delivery_events', 'internal.unmatched_delivery_events', 'received_at'),
        ('canspam_compliance', 'public.communication_canspam_compliance', 'validation_timestamp')
    ) AS known (data_class, table_name, column_name)
    WHERE known.data_class = p_data_class;
    IF p_data_class = 'canspam_compliance' THEN
        v_held := ' AND NOT EXISTS (SELECT FROM public.legal_holds AS hold WHERE hold.lifted_at IS NULL'
            ' AND hold.organization_id = old.organization_id)';
    END IF;
    EXECUTE format('SELECT count(*) FROM %s AS old WHERE old.%I < $1%s', v_table, v_column, v_held)
    INTO affected USING p_before;
    EXECUTE format('SELECT count(*) FROM %s AS old WHERE old.%I < $1', v_table, v_column) INTO kept USING p_before;
    kept := kept - affected;
    IF NOT p_dry_run THEN
        EXECUTE format('DELETE FROM %s AS old WHERE old.%I < $1%s', v_table, v_column, v_held) USING p_before;
        GET DIAGNOSTICS affected = ROW_COUNT;
    END IF;
    detail := CASE WHEN kept > 0 THEN 'kept: a legal hold' END;
END
$plpgsql$;

COMMENT ON FUNCTION internal.delete_old_rows(text, timestamptz, boolean) IS
'Retention: delete rows of the small tables that are older than a moment.';
REVOKE ALL ON FUNCTION internal.delete_old_rows(text, timestamptz, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.delete_old_rows(text, timestamptz, boolean) TO comms_maintenance;
