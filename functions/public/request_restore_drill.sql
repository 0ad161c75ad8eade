CREATE OR REPLACE FUNCTION public.request_restore_drill(
    p_target_type text DEFAULT 'point', p_target text DEFAULT NULL, p_inclusive boolean DEFAULT true,
    p_keep boolean DEFAULT false
) RETURNS public.communication_restore_drills
LANGUAGE plpgsql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Ask for a restore beside the running cluster, on the drill machine, which changes nothing here: to a recovery point
   that the drill makes (`point`), or to p_target: a recovery_point_id (`name`), a time with its zone, a position in
   the write-ahead log (`lsn`), a transaction's number (`xid`). p_inclusive: with what lies exactly there.
   p_keep: the copy stays until release_restore(). While an equal request waits, asking again returns that one.
   Raises GC141 for a target that is none, GC142 for one that has not come yet, GC143 for one before the first
   backup, GC144 if there is no recovery point of this name, GC145 while there is no backup at all, GC147 for a time
   that a restore of the cluster took back: recovery would stop before it and look as if it had come there. */
DECLARE
    v_drill public.communication_restore_drills;
    v_point text;
    v_first public.communication_backups;
    v_gone public.communication_cluster_restores;
BEGIN
    SELECT backup.* INTO v_first
    FROM public.communication_backups AS backup
    WHERE backup.status = 'completed'
    ORDER BY backup.lsn_stop LIMIT 1;
    IF NOT FOUND THEN
        RAISE EXCEPTION 'there is no completed backup to restore'
        USING ERRCODE = 'GC145', HINT = 'Take one: SELECT * FROM backup_communication_system(''full'').';
    END IF;
    IF p_target_type IS NULL OR p_target_type NOT IN ('point', 'name', 'time', 'lsn', 'xid')
        OR (p_target_type = 'point') <> (p_target IS NULL) OR p_inclusive IS NULL OR p_keep IS NULL
        OR NOT (p_inclusive OR p_target_type IN ('time', 'lsn', 'xid'))
        OR p_target !~ (CASE p_target_type
            WHEN 'time' THEN '^\d{4}-\d\d-\d\d[ T]\d\d:\d\d(:\d\d(\.\d{1,6})?)? ?(Z|UTC|[+-]\d\d(:?\d\d)?)$'
            WHEN 'lsn' THEN '^[0-9A-Fa-f]{1,8}/[0-9A-Fa-f]{1,8}$'
            WHEN 'xid' THEN '^[0-9]{1,18}$'
            ELSE '.'
        END)
    THEN
        RAISE EXCEPTION 'nothing can be restored to % "%"', p_target_type, p_target
        USING ERRCODE = 'GC141',
            HINT = 'Give point alone, name with a recovery_point_id, time with its zone (2026-01-31 12:00:00+00),'
                ' lsn (0/3000000) or xid (4711); only the last three can be exclusive.';
    END IF;
    IF p_target_type = 'time' THEN
        p_target := to_char(p_target::timestamptz AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS.US') || '+00';
    END IF;
    IF (CASE p_target_type
        WHEN 'time' THEN p_target::timestamptz > clock_timestamp()
        WHEN 'lsn' THEN p_target::pg_lsn > pg_current_wal_lsn()
        WHEN 'xid' THEN p_target::xid8 >= pg_snapshot_xmax(pg_current_snapshot())
    END) THEN
        RAISE EXCEPTION '% % has not come yet', p_target_type, p_target
        USING ERRCODE = 'GC142', HINT = 'What is written can be restored, up to this moment.';
    END IF;
    IF p_target_type = 'name' THEN
        SELECT point.recovery_point_id INTO v_point
        FROM public.communication_recovery_points AS point
        WHERE point.recovery_point_id = p_target;
        IF NOT FOUND THEN
            RAISE EXCEPTION 'there is no recovery point "%"', p_target
            USING ERRCODE = 'GC144', HINT = 'SELECT recovery_point_id FROM communication_recovery_points.';
        END IF;
    END IF;
    IF (CASE p_target_type
        WHEN 'time' THEN p_target::timestamptz <= v_first.completed_at
        WHEN 'lsn' THEN p_target::pg_lsn < v_first.lsn_stop
        WHEN 'name' THEN (
            SELECT point.lsn < v_first.lsn_stop
            FROM public.communication_recovery_points AS point WHERE point.recovery_point_id = v_point
        )
    END) THEN
        RAISE EXCEPTION '% % lies before the first backup that is kept', p_target_type, p_target
        USING ERRCODE = 'GC143', HINT = format(
            'The first one, %s, is whole from %s (%s) on.', v_first.label, v_first.completed_at, v_first.lsn_stop
        );
    END IF;
    IF p_target_type = 'time' THEN
        SELECT taken_back.* INTO v_gone
        FROM public.communication_cluster_restores AS taken_back
        WHERE p_target::timestamptz < taken_back.abandoned_at AND p_target::timestamptz
            > CASE taken_back.target_type WHEN 'time' THEN taken_back.target::timestamptz ELSE taken_back.reached_time END
        ORDER BY taken_back.abandoned_at DESC LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'time % lies on timeline %, which was abandoned', p_target, v_gone.abandoned_timeline
            USING ERRCODE = 'GC147', HINT = format(
                '%s took the cluster back to %s %s, and it went on at %s: give a time outside of that.',
                v_gone.restore_id, v_gone.target_type, v_gone.target, v_gone.abandoned_at
            );
        END IF;
    END IF;
    SELECT waiting.* INTO v_drill
    FROM public.communication_restore_drills AS waiting
    WHERE waiting.status = 'requested' AND waiting.target_type = p_target_type
        AND waiting.target = coalesce(p_target, 'now') AND waiting.inclusive = p_inclusive AND waiting.keep = p_keep;
    IF NOT FOUND THEN
        INSERT INTO public.communication_restore_drills (
            drill_id, target_type, target, inclusive, keep, recovery_point_id
        )
        VALUES (
            'drill_' || to_char(clock_timestamp() AT TIME ZONE 'UTC', 'YYYYMMDD_HH24MISS_US'),
            p_target_type, coalesce(p_target, 'now'), p_inclusive, p_keep, v_point
        )
        RETURNING * INTO v_drill;
    END IF;
    PERFORM pg_notify('guestcomms_drill', v_drill.drill_id);
    RETURN v_drill;
EXCEPTION
    WHEN datetime_field_overflow OR invalid_datetime_format OR numeric_value_out_of_range THEN
        RAISE EXCEPTION 'nothing can be restored to % "%"', p_target_type, p_target
        USING ERRCODE = 'GC141', HINT = SQLERRM;
END
$plpgsql$;

COMMENT ON FUNCTION public.request_restore_drill(text, text, boolean, boolean) IS
'Ask for a restore beside the running cluster; the drill machine''s agent does it and completes the row returned.';
REVOKE ALL ON FUNCTION public.request_restore_drill(text, text, boolean, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION public.request_restore_drill(text, text, boolean, boolean) TO comms_ops, comms_maintenance;
