CREATE OR REPLACE FUNCTION internal.check_moment(p_moment timestamptz) RETURNS void
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* Refuse (GC346) a moment to send at that is past, but for five minutes of two clocks that differ, or more than five
   years ahead. NULL is no moment and fine. */
BEGIN
    IF p_moment NOT BETWEEN now() - interval '5 minutes' AND now() + interval '5 years' THEN
        RAISE EXCEPTION 'a message cannot be scheduled for %', p_moment
        USING ERRCODE = 'GC346', HINT = 'Give a moment from now to five years ahead.';
    END IF;
END
$plpgsql$;

COMMENT ON FUNCTION internal.check_moment(timestamptz) IS
'Refuse a moment to send at that is past or more than five years ahead.';
REVOKE ALL ON FUNCTION internal.check_moment(timestamptz) FROM PUBLIC;
