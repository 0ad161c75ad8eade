"""Connection strings: how the agent reaches PostgreSQL and PgBouncer, as the least that will do."""

from collections.abc import Sequence

from psycopg.conninfo import make_conninfo

from infra.agent import paths

CONNECT_TIMEOUT = 2  # seconds, per machine; libpq takes no less


def local_superuser(database: str) -> str:
    """Return how OS user postgres reaches PostgreSQL on this machine (peer authentication)."""
    return make_conninfo(
        host=str(paths.POSTGRESQL_SOCKETS),
        user="postgres",
        dbname=database,
        application_name="guestcomms bootstrap",
        connect_timeout=CONNECT_TIMEOUT,
    )


def local_agent(database: str) -> str:
    """Return how OS user postgres reaches PostgreSQL on this machine as the agent."""
    return make_conninfo(
        host=str(paths.POSTGRESQL_SOCKETS),
        user="guestcomms_agent",
        dbname=database,
        application_name="guestcomms restore",
        connect_timeout=CONNECT_TIMEOUT,
    )


def pooler_console() -> str:
    """Return how OS user postgres reaches the console of PgBouncer, which runs as the same user."""
    return make_conninfo(
        host=str(paths.POSTGRESQL_SOCKETS),
        port=6432,
        user="pgbouncer",
        dbname="pgbouncer",
        connect_timeout=CONNECT_TIMEOUT,
    )


def primary(machines: Sequence[str], database: str) -> str:
    """Return how the agent reaches whichever of `machines` is the primary."""
    return make_conninfo(
        _verified(",".join(machines), database, "guestcomms_agent"),
        target_session_attrs="read-write",
        application_name="guestcomms agent",
        tcp_user_timeout=10_000,
        options="-c statement_timeout=10s",
    )


def monitor(machine: str, database: str) -> str:
    """Return how `health` reads one machine's statistics; a statement ends within 0.5 s."""
    return make_conninfo(
        _verified(machine, database, "guestcomms_monitor"),
        application_name="guestcomms health",
        options="-c statement_timeout=500",
    )


def _verified(host: str, database: str, user: str) -> str:
    return make_conninfo(
        host=host,
        dbname=database,
        user=user,
        sslmode="verify-full",
        sslrootcert=str(paths.CA_CERTIFICATE),
        sslcert=str(paths.CERTIFICATE),
        sslkey=str(paths.PRIVATE_KEY),
        connect_timeout=CONNECT_TIMEOUT,
    )
