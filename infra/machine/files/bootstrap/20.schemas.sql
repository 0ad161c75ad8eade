-- Schemas, extensions, and who may enter. PUBLIC may not even connect.

DO $database$
DECLARE
    v_database constant text := current_database();
BEGIN
    EXECUTE format('REVOKE ALL ON DATABASE %I FROM PUBLIC', v_database);
    EXECUTE format(
        'GRANT CONNECT ON DATABASE %I TO comms_owner, comms_maintenance, comms_agent, comms_app, comms_worker,'
        ' comms_ops, comms_auditor, comms_report, comms_monitor, comms_migrator, pgbouncer', v_database
    );
    -- To refresh materialized views beside their readers.
    EXECUTE format('GRANT TEMPORARY ON DATABASE %I TO comms_maintenance', v_database);
END
$database$;

-- public is the API, internal what it is made of.
ALTER SCHEMA public OWNER TO comms_owner;
CREATE SCHEMA IF NOT EXISTS internal AUTHORIZATION comms_owner;
CREATE SCHEMA IF NOT EXISTS extensions;
CREATE SCHEMA IF NOT EXISTS partman;
CREATE SCHEMA IF NOT EXISTS pgbouncer;
-- Rows of the past, beside the tables they were in: `guestcomms restore table`.
CREATE SCHEMA IF NOT EXISTS restored AUTHORIZATION comms_owner;
REVOKE ALL ON SCHEMA public, internal, extensions, partman, pgbouncer, restored FROM PUBLIC;
GRANT USAGE ON SCHEMA restored TO comms_maintenance, comms_agent;

GRANT USAGE ON SCHEMA public TO
comms_maintenance, comms_agent, comms_app, comms_worker, comms_ops, comms_auditor, comms_report, comms_monitor;
GRANT USAGE ON SCHEMA internal TO comms_maintenance, comms_agent, comms_ops, comms_monitor;
GRANT USAGE ON SCHEMA extensions TO comms_owner, comms_maintenance, comms_ops, comms_monitor;
-- Nobody may create there: an upgrade of the extension, by a superuser, would call what was planted. So
-- migrations name a template table of their own in internal to partman.create_parent().
GRANT USAGE ON SCHEMA partman TO comms_owner, comms_maintenance;
-- Functions that must see every tenant belong to comms_maintenance: it makes them itself, in migrations.
GRANT CREATE ON SCHEMA public, internal TO comms_maintenance;

-- Whatever these roles make is executable by nobody until a grant says so.
ALTER DEFAULT PRIVILEGES FOR ROLE comms_owner REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;
ALTER DEFAULT PRIVILEGES FOR ROLE comms_maintenance REVOKE EXECUTE ON FUNCTIONS FROM PUBLIC;

-- Each extension is here for a use. Left out: credcheck (it judges passwords in clear, and ours reach the
-- server only as SCRAM verifiers made elsewhere) and set_user (nobody logs in to become a superuser).
CREATE EXTENSION IF NOT EXISTS pg_cron WITH SCHEMA pg_catalog; -- schedules; its tables are in schema cron
CREATE EXTENSION IF NOT EXISTS pg_partman WITH SCHEMA partman; -- monthly partitions
CREATE EXTENSION IF NOT EXISTS plpython3u WITH SCHEMA pg_catalog; -- AES-256-GCM, which pgcrypto lacks
CREATE EXTENSION IF NOT EXISTS pg_stat_statements WITH SCHEMA extensions; -- which query costs what
CREATE EXTENSION IF NOT EXISTS pg_wait_sampling WITH SCHEMA extensions; -- what sessions wait for
CREATE EXTENSION IF NOT EXISTS pgaudit WITH SCHEMA extensions; -- names the objects of audited statements
CREATE EXTENSION IF NOT EXISTS amcheck WITH SCHEMA extensions; -- proves the indexes of a restored backup

GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA partman TO comms_owner, comms_maintenance;
REVOKE EXECUTE ON ALL FUNCTIONS IN SCHEMA partman FROM PUBLIC;
REVOKE EXECUTE ON ALL PROCEDURES IN SCHEMA partman FROM PUBLIC;
GRANT EXECUTE ON ALL FUNCTIONS IN SCHEMA partman TO comms_owner, comms_maintenance;
GRANT EXECUTE ON ALL PROCEDURES IN SCHEMA partman TO comms_owner, comms_maintenance;

-- A recovery point is a row whose trigger writes a named point into the write-ahead log.
GRANT EXECUTE ON FUNCTION pg_create_restore_point(text) TO comms_owner;

-- Every login might hold the locks that our functions, pg_partman and migrations wait for, and so stop other tenants;
-- fill the disk with large objects, which have no row security; or flood the write-ahead log. None needs to.
DO $shared$
DECLARE
    v_routine record;
BEGIN
    FOR v_routine IN
        SELECT routine.oid::regprocedure AS name, routine.proname ~ 'advisory' AS is_lock
        FROM pg_proc AS routine
        WHERE
            routine.pronamespace = 'pg_catalog'::regnamespace
            AND routine.proname ~ '^(pg_(try_)?advisory_|lo_|lo(read|write)$|pg_logical_emit_message$)'
    LOOP
        EXECUTE format('REVOKE EXECUTE ON FUNCTION %s FROM PUBLIC', v_routine.name);
        IF v_routine.is_lock THEN
            EXECUTE format(
                'GRANT EXECUTE ON FUNCTION %s TO comms_owner, comms_maintenance, comms_migrator', v_routine.name
            );
        END IF;
    END LOOP;
END
$shared$;
