CREATE OR REPLACE FUNCTION internal.readiness_wal_archiving(
    OUT status text, OUT value text, OUT threshold text, OUT what_to_do text
)
LANGUAGE plpgsql STABLE
SET search_path = pg_catalog, pg_temp
AS $plpgsql$
/* The write-ahead log reaches the repository: it is on, it last succeeded, and nothing piles up.
   Segments are counted, not minutes: an idle server has nothing to archive. */
DECLARE
    v_archiver record;
    v_behind numeric;
BEGIN
    PERFORM internal.require_leader();
    SELECT archiver.* INTO v_archiver FROM pg_stat_archiver AS archiver;
    IF v_archiver.last_archived_wal ~ '^[0-9A-F]{24}' THEN
        v_behind := (SELECT segment_number FROM pg_split_walfile_name(pg_walfile_name(pg_current_wal_lsn())))
            - (SELECT segment_number FROM pg_split_walfile_name(left(v_archiver.last_archived_wal, 24))) - 1;
    END IF;
    SELECT
        CASE
            WHEN current_setting('archive_mode') = 'off' OR v_archiver.last_archived_time IS NULL
                OR v_archiver.last_failed_time > v_archiver.last_archived_time OR v_behind > 16 THEN 'fail'
            WHEN v_behind IS NULL THEN 'unknown'
            ELSE 'pass'
        END,
        format(
            'archive_mode %s, last archived %s, last failure %s, %s segments behind', current_setting('archive_mode'),
            coalesce(v_archiver.last_archived_time::text, 'never'),
            coalesce(v_archiver.last_failed_time::text, 'never'), coalesce(v_behind::text, 'unknown')
        ),
        'on, last attempt succeeded, at most 16 segments behind',
        'Read the log of the leader for "archive"; `pgbackrest --stanza=wedsync check` says what is wrong.'
    INTO status, value, threshold, what_to_do;
END
$plpgsql$;

COMMENT ON FUNCTION internal.readiness_wal_archiving() IS 'Readiness: the write-ahead log reaches the repository.';
REVOKE ALL ON FUNCTION internal.readiness_wal_archiving() FROM PUBLIC;
GRANT EXECUTE ON FUNCTION internal.readiness_wal_archiving() TO comms_ops, comms_monitor;
