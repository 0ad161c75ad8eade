CREATE OR REPLACE FUNCTION internal.drop_months(
    p_data_class text, p_before timestamptz, p_dry_run boolean, OUT affected bigint, OUT kept bigint, OUT detail text
) RETURNS record
LANGUAGE plpgsql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Retention: drop the months of communications (with their recipients and dead letters) or of reports that ended before
   a moment, the oldest first, up to the first that is needed: a series without holes is one that can be checked.
   A month is asked twice, the second time with everybody locked out. */
DECLARE
    v_parent constant regclass := format('public.%I', p_data_class);
    v_month record;
    v_why text;
BEGIN
    affected := 0;
    FOR v_month IN
        SELECT month.* FROM internal.months_of(v_parent) AS month WHERE month.until_moment <= p_before
    LOOP
        v_why := internal.why_month_is_kept(p_data_class, v_month.from_moment, v_month.until_moment, p_before);
        IF v_why IS NULL AND NOT p_dry_run THEN
            PERFORM internal.lock_month(v_parent, v_month.from_moment);
            IF p_data_class = 'guest_communications' THEN
                PERFORM internal.lock_month('public.communication_recipients', v_month.from_moment);
            END IF;
            v_why := internal.why_month_is_kept(p_data_class, v_month.from_moment, v_month.until_moment, p_before);
        END IF;
        EXIT WHEN v_why IS NOT NULL;
        affected := affected + 1;
        CONTINUE WHEN p_dry_run;
        IF p_data_class = 'guest_communications' THEN
            DELETE FROM public.communication_dead_letters AS letter
            WHERE
                letter.communication_created_at >= v_month.from_moment
                AND letter.communication_created_at < v_month.until_moment;
            DELETE FROM internal.communication_counter_deltas AS open_change
            USING public.guest_communications AS message
            WHERE
                open_change.organization_id = message.organization_id AND open_change.communication_id = message.id
                AND message.created_at >= v_month.from_moment AND message.created_at < v_month.until_moment;
            PERFORM internal.drop_month('public.communication_recipients', v_month.from_moment);
        END IF;
        PERFORM internal.drop_month(v_parent, v_month.from_moment);
    END LOOP;
    SELECT count(*) - CASE WHEN p_dry_run THEN affected ELSE 0 END INTO kept
    FROM internal.months_of(v_parent) AS month
    WHERE month.until_moment <= p_before;
    detail := CASE WHEN v_why IS NOT NULL
        THEN format('kept: %s, because of %s', to_char(v_month.from_moment, 'YYYY-MM'), v_why) END;
END
$plpgsql$;

COMMENT ON FUNCTION internal.drop_months(text, timestamptz, boolean) IS
'Retention: drop months that nobody needs any more, the oldest first.';
REVOKE ALL ON FUNCTION internal.drop_months(text, timestamptz, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.drop_months(text, timestamptz, boolean) TO comms_maintenance;
