SET LOCAL ROLE comms_maintenance; -- the place in the queue is of all tenants
CREATE OR REPLACE FUNCTION internal.queue_front(p_priority integer) RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The virtual time of a priority: the rank of the last chunk claimed. What becomes ready gets at least this rank,
       so that nobody is served for the time he was not there, and claims need not look before it. */
    SELECT coalesce(pg_sequence_last_value(format('internal.queue_front_%s', p_priority)::regclass), 0)
$sql$;

COMMENT ON FUNCTION internal.queue_front(integer) IS
'The virtual time of a priority: what becomes ready gets at least this rank.';
REVOKE ALL ON FUNCTION internal.queue_front(integer) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.queue_front(integer) TO comms_owner;
