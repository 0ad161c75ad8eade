"""A PostgreSQL server in a container, and databases on it that cost a copy each."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from itertools import count
from pathlib import Path

os.environ["TESTCONTAINERS_RYUK_DISABLED"] = "true"  # its helper image comes from a registry

import docker
from guestcomms import db, migrate
from testcontainers.core.container import DockerContainer

from infra.local.image import ImageProvider, image_tag
from infra.machine.components import bootstrap_sql
from infra.machine.image import dockerfile
from infra.machine.render import FILES
from infra.spec import ClusterSpec

LABEL = "guestcomms.tests"
SCRIPT = Path(__file__).with_name("server.sh")
LOGINS = ("app", "worker", "ops", "auditor", "report", "monitor", "migrator")
MACHINE_LOGINS = ("guestcomms_agent", "guestcomms_monitor", "guestcomms_cron", "pgbouncer")
START_SECONDS = 60.0


@dataclass(frozen=True)
class Server:
    """A running server; anybody may connect as anybody: what is tested is rights, not passwords."""

    container: str
    host: str
    port: int
    pooler_port: int
    """Where a test may start a pooler."""

    def dsn(self, database: str, login: str = "postgres") -> str:
        return f"postgresql://{login}@{self.host}:{self.port}/{database}"

    def execute(self, statement: str, database: str = "postgres") -> None:
        with db.connect(
            self.dsn(database), application_name="tests", autocommit=True
        ) as connection:
            connection.execute(statement.encode())

    def run(self, *command: str, check: bool = True) -> str:
        """Run a program in the container as postgres; returns what it printed."""
        done = subprocess.run(
            ["docker", "exec", "-u", "postgres", self.container, *command],
            capture_output=True,
            text=True,
            check=False,
        )
        assert not check or done.returncode == 0, done.stderr
        return done.stdout + ("" if check else done.stderr)

    def clone(self, template: str, name: str) -> Database:
        """A database that is a copy of another, to which nobody may be connected."""
        self.execute(f"CREATE DATABASE {name} TEMPLATE {template} STRATEGY FILE_COPY")
        # CREATE DATABASE copies no rights on the database itself.
        self.execute(f"REVOKE ALL ON DATABASE {name} FROM PUBLIC")
        grantees = ", ".join([*(f"wedsync_{role}" for role in LOGINS), *MACHINE_LOGINS])
        self.execute(f"GRANT CONNECT ON DATABASE {name} TO {grantees}")
        self.execute(f"GRANT TEMPORARY ON DATABASE {name} TO comms_maintenance")
        return Database(self, name)


@dataclass(frozen=True)
class Database:
    """A database of the server, and ways into it."""

    server: Server
    name: str

    def dsn(self, login: str = "wedsync_migrator") -> str:
        return self.server.dsn(self.name, login)

    def connect(self, login: str = "postgres") -> db.Connection:
        """An autocommit connection: each statement is its own transaction."""
        return db.connect(self.dsn(login), application_name="tests", autocommit=True)

    def value(self, query: str, login: str = "postgres") -> object:
        with self.connect(login) as connection:
            return db.one_value(connection, query.encode())

    def execute(self, statement: str, login: str = "postgres") -> None:
        with self.connect(login) as connection:
            connection.execute(statement.encode())

    def dump(self) -> str:
        """Schema, owners, rights, comments and the contents of our tables, byte for byte."""
        return self.server.run(
            "pg_dump", "--restrict-key=tests", "--exclude-schema=cron", "--inserts", self.name
        )

    def drop(self) -> None:
        self.server.execute(f"DROP DATABASE IF EXISTS {self.name} WITH (FORCE)")


NUMBERS = count(1)


def bootstrap(server: Server, database: str) -> None:
    """Run the superuser bootstrap as the agent does: one transaction, in the database."""
    with db.connect(server.dsn(database), application_name="tests") as connection:
        connection.execute(bootstrap_sql(ClusterSpec(stack="test-db")).encode())


def make_logins(server: Server) -> None:
    """The logins that a stack has, each a member of its group."""
    for role in LOGINS:
        server.execute(f"CREATE ROLE wedsync_{role} LOGIN IN ROLE comms_{role}")


def copy_wedsync(server: Server, name: str) -> None:
    """Copy wedsync, in which pg_cron's launcher sits: ended, it stays away for a second."""
    server.execute(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity"
        " WHERE datname = 'wedsync' OR backend_type = 'pg_cron launcher'"
    )
    server.execute(f"CREATE DATABASE {name} TEMPLATE wedsync")


@contextmanager
def running_server(settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """Start the server from the machine image, which is built if it is not there.

    Parameters: `settings` of postgresql.conf, instead of those in server.sh.
    """
    _sweep()
    setup = {"setup.sh": str(FILES / "image" / "setup.sh")}
    tag = image_tag("guestcomms-machine", dockerfile(), {"setup.sh": Path(setup["setup.sh"])})
    ImageProvider().create({"tag": tag, "dockerfile": dockerfile(), "files": setup})
    container = (
        DockerContainer(tag)
        .with_command(["sh", "/server.sh"])
        .with_volume_mapping(str(SCRIPT), "/server.sh", "ro")
        .with_env("SETTINGS", "\n".join(f"{k} = '{v}'" for k, v in (settings or {}).items()))
        .with_exposed_ports(5432, 6432)
        .with_kwargs(labels={LABEL: str(os.getpid())})
    )
    with container:
        server = Server(
            str(container.get_wrapped_container().id),
            container.get_container_host_ip(),
            int(container.get_exposed_port(5432)),
            int(container.get_exposed_port(6432)),
        )
        _wait(server)
        yield server


@contextmanager
def bootstrapped_server(settings: Mapping[str, str] | None = None) -> Iterator[Server]:
    """A running server with the two templates: `template_empty`, and `template_full` migrated."""
    with running_server(settings) as running:
        bootstrap(running, "wedsync")
        make_logins(running)
        copy_wedsync(running, "template_empty")
        full = running.clone("template_empty", "template_full")
        migrate.apply(full.dsn())
        yield running


def _wait(server: Server) -> None:
    deadline = time.monotonic() + START_SECONDS
    while True:
        answer = server.run("pg_isready", "-h", "127.0.0.1", "-d", "wedsync", check=False)
        if "accepting" in answer:
            return
        assert time.monotonic() < deadline, f"PostgreSQL did not start: {answer}"
        time.sleep(0.1)


def _sweep() -> None:
    """Remove servers that killed test runs left behind."""
    client = docker.from_env()
    ours: dict[str, str | list[str] | bool] = {"label": LABEL}
    for container in client.containers.list(all=True, filters=ours, ignore_removed=True):
        pid = container.labels[LABEL]
        if not Path(f"/proc/{pid}").exists():
            with suppress(docker.errors.APIError):  # another run sweeps too
                container.remove(force=True, v=True)
    client.close()
