SET LOCAL ROLE comms_maintenance; -- it applies the rules to every tenant
CREATE OR REPLACE FUNCTION public.apply_data_retention(p_dry_run boolean DEFAULT false)
RETURNS TABLE (rule text, action text, affected bigint, kept bigint, detail text)
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
-- Dropping a month locks the whole table for a moment: whoever is in the way goes first, the next run tries again.
SET lock_timeout = '2s'
AS $plpgsql$
/* Do what communication_data_retention says, one rule after the other, and write down there what was done. Returns a
   row per enabled rule: how many rows, or months, it was about, how many were kept although they are old, and why.
   A rule that fails changes nothing, says so, and does not keep the others from being applied. With p_dry_run nothing
   changes and nothing is written down. One run at a time: a second one returns nothing.
   Raises GC300 for NULL. */
DECLARE
    v_rule public.communication_data_retention;
    v_before timestamptz;
BEGIN
    PERFORM internal.require_given(jsonb_build_object('p_dry_run', p_dry_run));
    IF NOT pg_try_advisory_xact_lock(hashtextextended('apply_data_retention', 0)) THEN
        RETURN;
    END IF;
    FOR v_rule IN
        SELECT known.* FROM public.communication_data_retention AS known
        WHERE known.enabled
        ORDER BY array_position('{archive,anonymise,drop_partition,delete}', known.action), known.rule DESC
    LOOP
        rule := v_rule.rule;
        action := v_rule.action;
        v_before := now() - v_rule.retention_period;
        BEGIN
            SELECT done.affected, done.kept, CASE WHEN done.kept > 0 THEN done.detail END
            INTO affected, kept, detail
            FROM (
                SELECT archived.* FROM internal.archive_communications(v_before, p_dry_run) AS archived
                WHERE v_rule.action = 'archive'
                UNION ALL
                SELECT anonymised.* FROM internal.anonymise_recipients(v_before, p_dry_run) AS anonymised
                WHERE v_rule.action = 'anonymise'
                UNION ALL
                SELECT dropped.* FROM internal.drop_months(v_rule.data_class, v_before, p_dry_run) AS dropped
                WHERE v_rule.action = 'drop_partition'
                UNION ALL
                SELECT deleted.* FROM internal.delete_old_rows(v_rule.data_class, v_before, p_dry_run) AS deleted
                WHERE v_rule.action = 'delete'
            ) AS done;
        EXCEPTION WHEN OTHERS THEN
            affected := 0;
            kept := NULL;
            detail := format('failed, nothing changed: %s (%s)', SQLERRM, SQLSTATE);
        END;
        IF NOT p_dry_run THEN
            UPDATE public.communication_data_retention AS known
            SET
                last_run_at = clock_timestamp(),
                last_result = jsonb_build_object('affected', affected, 'kept', kept, 'detail', detail)
            WHERE known.rule = v_rule.rule;
        END IF;
        RETURN NEXT;
    END LOOP;
END
$plpgsql$;

COMMENT ON FUNCTION public.apply_data_retention(boolean) IS
'Do what communication_data_retention says, rule by rule, and write down what was done.';
REVOKE ALL ON FUNCTION public.apply_data_retention(boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.apply_data_retention(boolean) TO comms_ops;
