CREATE OR REPLACE FUNCTION internal.next_allowed_at(
    p_now timestamptz, p_time_zone text, p_window_from time, p_window_until time, p_quiet_from time, p_quiet_until time
) RETURNS timestamptz
LANGUAGE plpgsql STABLE PARALLEL SAFE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The earliest moment from p_now on that is inside the window and outside the quiet hours, both in local time of
   p_time_zone, from their first moment to just before their last; over midnight if the end is earlier, no
   restriction if begin and end are equal or NULL. A window that lies wholly in the quiet hours yields to them.
   Raises 22023 for an unknown time zone. */
DECLARE
    v_allowed timestamptz;
BEGIN
    IF internal.is_between(p_now AT TIME ZONE p_time_zone, p_window_from, p_window_until, true)
        AND NOT internal.is_between(p_now AT TIME ZONE p_time_zone, p_quiet_from, p_quiet_until, false)
    THEN
        RETURN p_now;
    END IF;
    -- What is forbidden ends when the window begins or the quiet hours end: today, tomorrow or, over midnight, the
    -- day after. Where clocks are put forward that moment may be missing, and the change itself, on a half hour,
    -- comes first; where they are put back it comes twice.
    SELECT coalesce(min(candidate.moment) FILTER (WHERE candidate.in_window), min(candidate.moment))
    INTO v_allowed
    FROM (
        SELECT
            near.moment,
            internal.is_between(near.moment AT TIME ZONE p_time_zone, p_window_from, p_window_until, true) AS in_window
        FROM (VALUES (p_window_from), (p_quiet_until)) AS forbidden (ends)
        CROSS JOIN generate_series(-1, 2) AS day (number)
        CROSS JOIN LATERAL (
            SELECT ((p_now AT TIME ZONE p_time_zone)::date + day.number + forbidden.ends) AT TIME ZONE p_time_zone
        ) AS local (moment)
        CROSS JOIN LATERAL (
            VALUES (local.moment), (local.moment - interval '1 hour'), (local.moment - interval '30 minutes'),
            (date_bin('30 minutes', local.moment, 'epoch'))
        ) AS near (moment)
        WHERE
            near.moment >= p_now
            AND NOT internal.is_between(near.moment AT TIME ZONE p_time_zone, p_quiet_from, p_quiet_until, false)
    ) AS candidate;
    RETURN v_allowed;
END
$plpgsql$;

COMMENT ON FUNCTION internal.next_allowed_at(timestamptz, text, time, time, time, time) IS
'The earliest moment inside the sending window and outside the quiet hours, in local time.';
REVOKE ALL ON FUNCTION internal.next_allowed_at(timestamptz, text, time, time, time, time) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.next_allowed_at(timestamptz, text, time, time, time, time) TO comms_maintenance;
