-- Wanted sizes of the connection pools, and what each machine's pooler really has.
-- An UPDATE is a wish within bounds; the node agent applies it without dropping a client and reports.
-- Locks: none, everything is new.
CREATE TABLE public.communication_pool_config (
    pool_name text PRIMARY KEY CHECK (pool_name ~ '^[a-z][a-z0-9_]{0,62}$'),
    min_connections bigint NOT NULL CHECK (min_connections >= 0),
    max_connections bigint NOT NULL CHECK (max_connections BETWEEN 1 AND 5000),
    connection_timeout_ms bigint NOT NULL CHECK (connection_timeout_ms BETWEEN 1000 AND 300000),
    idle_timeout_ms bigint NOT NULL CHECK (idle_timeout_ms BETWEEN 1000 AND 86400000),
    revision bigint NOT NULL DEFAULT 1,
    updated_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    updated_by name NOT NULL DEFAULT session_user,
    applied_at timestamptz,
    applied_values jsonb,
    CONSTRAINT communication_pool_config_order CHECK (min_connections <= max_connections)
);

COMMENT ON TABLE public.communication_pool_config IS
'Wanted state of PgBouncer''s pools, on every database machine alike. Change a row; applied_at says when it is so.';
COMMENT ON COLUMN public.communication_pool_config.pool_name IS 'production is the pool of database wedsync.';
COMMENT ON COLUMN public.communication_pool_config.min_connections IS 'Server connections kept open.';
COMMENT ON COLUMN public.communication_pool_config.max_connections IS
'Server connections at most; all pools together leave PostgreSQL 30 connections for everything else.';
COMMENT ON COLUMN public.communication_pool_config.connection_timeout_ms IS
'How long a client waits for a server connection.';
COMMENT ON COLUMN public.communication_pool_config.idle_timeout_ms IS
'After that an idle server connection is closed.';
COMMENT ON COLUMN public.communication_pool_config.revision IS
'Counts changes of the wanted values: set by the server.';
COMMENT ON COLUMN public.communication_pool_config.updated_at IS 'When the wanted values last changed.';
COMMENT ON COLUMN public.communication_pool_config.updated_by IS 'The login that changed them.';
COMMENT ON COLUMN public.communication_pool_config.applied_at IS
'When the last of the reporting machines had this revision; NULL while one of them has not.';
COMMENT ON COLUMN public.communication_pool_config.applied_values IS 'What each machine reported last, by machine.';

CREATE TABLE internal.pool_reports (
    pool_name text NOT NULL REFERENCES public.communication_pool_config (pool_name) ON DELETE CASCADE,
    node text NOT NULL CHECK (node ~ '^[a-z][a-z0-9-]{0,62}$'),
    revision bigint NOT NULL,
    applied_values jsonb NOT NULL,
    reported_at timestamptz NOT NULL DEFAULT pg_catalog.clock_timestamp(),
    PRIMARY KEY (pool_name, node)
);

COMMENT ON TABLE internal.pool_reports IS 'The last report of each machine about each pool.';
COMMENT ON COLUMN internal.pool_reports.pool_name IS 'The pool.';
COMMENT ON COLUMN internal.pool_reports.node IS 'The machine.';
COMMENT ON COLUMN internal.pool_reports.revision IS 'The revision of the wanted values that it has applied.';
COMMENT ON COLUMN internal.pool_reports.applied_values IS 'The values its pooler runs with.';
COMMENT ON COLUMN internal.pool_reports.reported_at IS 'When it reported.';

-- The values a new machine's pooler starts with: the stack's, or those of a stack that says nothing.
INSERT INTO public.communication_pool_config
(pool_name, min_connections, max_connections, connection_timeout_ms, idle_timeout_ms)
VALUES (
    'production', 0,
    coalesce(pg_catalog.current_setting('guestcomms.pool_size', true)::bigint, 20),
    coalesce(pg_catalog.current_setting('guestcomms.query_wait_timeout_ms', true)::bigint, 30000),
    600000
);
