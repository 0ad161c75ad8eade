-- What needs a superuser in database wedsync: every file of this folder, in order, in one transaction.
-- Each statement can be repeated: a second run leaves everything as it is.
-- Migrations never need a superuser; what they do need of this is listed by `guestcomms migrate check`.

SET LOCAL client_min_messages = warning;
SET LOCAL search_path = pg_catalog, pg_temp;

-- Groups hold the rights, logins are members of groups. Attributes are set again each time, so that a
-- group that somebody widened by hand is narrow again after the next run.
DO $roles$
DECLARE
    v_role text;
    v_groups constant text[] := ARRAY[
        'comms_owner', 'comms_maintenance', 'comms_agent', 'comms_app', 'comms_worker', 'comms_ops',
        'comms_auditor', 'comms_report', 'comms_monitor', 'comms_migrator'
    ];
    -- Logins of programs on our own machines. None has a password: guestcomms_agent and guestcomms_monitor
    -- come with a machine's certificate, pgbouncer and the exporters as the operating system's user
    -- postgres. pg_cron's background workers start only for a role that may log in: that alone is why
    -- guestcomms_cron is one, pg_hba.conf has no way in for it.
    v_logins constant text[] := ARRAY[
        'guestcomms_agent', 'guestcomms_monitor', 'guestcomms_cron', 'pgbouncer'
    ];
BEGIN
    FOREACH v_role IN ARRAY v_groups || v_logins LOOP
        IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = v_role) THEN
            EXECUTE format('CREATE ROLE %I', v_role);
        END IF;
        EXECUTE format(
            'ALTER ROLE %I %s NOSUPERUSER NOCREATEDB NOCREATEROLE NOREPLICATION NOBYPASSRLS INHERIT',
            v_role, CASE WHEN v_role = ANY (v_logins) THEN 'LOGIN PASSWORD NULL' ELSE 'NOLOGIN' END
        );
    END LOOP;
END
$roles$;

GRANT comms_agent TO guestcomms_agent;
GRANT comms_monitor TO guestcomms_monitor;
GRANT comms_maintenance TO guestcomms_cron;

-- Migrations become the owner on purpose, with SET ROLE: nothing a migrator does by accident is the owner's.
GRANT comms_owner TO comms_migrator WITH INHERIT FALSE, SET TRUE;
GRANT comms_maintenance TO comms_migrator WITH INHERIT FALSE, SET TRUE;
-- To write jobs: a job runs as the role that scheduled it.
GRANT guestcomms_cron TO comms_migrator WITH INHERIT FALSE, SET TRUE;
-- To name the query that blocks a migration. A migrator can become the owner of every table anyway.
GRANT pg_read_all_stats TO comms_migrator;

GRANT pg_monitor TO comms_monitor;
GRANT pg_monitor TO comms_ops;
-- Metrics and slow statements are collected by its functions.
GRANT pg_read_all_stats TO comms_maintenance;
