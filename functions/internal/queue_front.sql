SET LOCAL ROLE comms_maintenance; -- the place in the queue is of all tenants
CREATE OR REPLACE FUNCTION internal.queue_front() RETURNS bigint
LANGUAGE sql VOLATILE SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* The virtual time of the queue: the rank of the last chunk claimed, by whatever channel. What becomes ready gets
       at least this rank, so that nobody is served for the time he was not there, and claims need not look before
       it. */
    SELECT coalesce(
        greatest(
            pg_sequence_last_value('internal.queue_front_email'), pg_sequence_last_value('internal.queue_front_sms'),
            pg_sequence_last_value('internal.queue_front_push'), pg_sequence_last_value('internal.queue_front_in_app')
        ), 0
    )
$sql$;

COMMENT ON FUNCTION internal.queue_front() IS
'The virtual time of the queue: what becomes ready gets at least this rank.';
REVOKE ALL ON FUNCTION internal.queue_front() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.queue_front() TO comms_owner;
