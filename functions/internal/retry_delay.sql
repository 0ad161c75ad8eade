CREATE OR REPLACE FUNCTION internal.retry_delay(p_attempts integer) RETURNS interval
LANGUAGE sql VOLATILE PARALLEL SAFE
/* How long to wait after so many attempts: a minute, doubled each time up to an hour, half of it random so that what
   failed together does not come back together. NULL: that was enough (10 attempts are about four hours). */
RETURN CASE
    WHEN p_attempts < 10
        THEN least(interval '1 hour', interval '1 minute' * 2 ^ greatest(p_attempts - 1, 0)) * (0.5 + random() / 2)
END;

COMMENT ON FUNCTION internal.retry_delay(integer) IS
'How long to wait after so many failed attempts; NULL after the last one.';
REVOKE ALL ON FUNCTION internal.retry_delay(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.retry_delay(integer) TO comms_maintenance;
