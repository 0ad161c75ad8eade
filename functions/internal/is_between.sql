CREATE OR REPLACE FUNCTION internal.is_between(p_local timestamp, p_from time, p_until time, p_without boolean)
RETURNS boolean
LANGUAGE sql IMMUTABLE PARALLEL SAFE
/* Whether a time of day is in a span of the day, over midnight if that ends before it begins; p_without if there is
   no span: begin and end are equal or NULL. */
RETURN CASE
    WHEN p_from < p_until THEN p_local::time >= p_from AND p_local::time < p_until
    WHEN p_from > p_until THEN p_local::time >= p_from OR p_local::time < p_until
    ELSE p_without
END;

COMMENT ON FUNCTION internal.is_between(timestamp, time, time, boolean) IS
'Whether a time of day is in a span of the day, which may go over midnight.';
REVOKE ALL ON FUNCTION internal.is_between(timestamp, time, time, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.is_between(timestamp, time, time, boolean) TO comms_maintenance;
