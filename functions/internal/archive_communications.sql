CREATE OR REPLACE FUNCTION internal.archive_communications(
    p_before timestamptz, p_dry_run boolean, OUT affected bigint, OUT kept bigint, OUT detail text
) RETURNS record
LANGUAGE sql VOLATILE
SET search_path = pg_catalog, pg_temp
AS $sql$
    /* Retention: take communications that are over since before a moment out of the lists. Those that still send, or
       were sent later than that, are kept. */
    WITH old AS (
        SELECT
            message.organization_id, message.id, message.created_at,
            message.status IN ('scheduled', 'sending')
            OR greatest(message.scheduled_for, message.completed_at, message.cancelled_at) >= p_before AS is_kept
        FROM public.guest_communications AS message
        WHERE message.created_at < p_before AND NOT message.is_archived
    ),
    archived AS (
        UPDATE public.guest_communications AS message
        SET is_archived = true
        FROM old
        WHERE
            NOT p_dry_run AND old.is_kept IS NOT TRUE AND message.organization_id = old.organization_id
            AND message.id = old.id AND message.created_at = old.created_at
    )
    SELECT
        count(*) FILTER (WHERE old.is_kept IS NOT TRUE), count(*) FILTER (WHERE old.is_kept),
        'kept: not over for long enough'
    FROM old
$sql$;

COMMENT ON FUNCTION internal.archive_communications(timestamptz, boolean) IS
'Retention: take communications that are over out of the lists.';
REVOKE ALL ON FUNCTION internal.archive_communications(timestamptz, boolean) FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.archive_communications(timestamptz, boolean) TO comms_maintenance;
