"""A stack of the real project, driven as a person drives it: through `guestcomms`."""

from __future__ import annotations

import json
import os
import random
import secrets
import socket
import subprocess
import time
from pathlib import Path
from typing import Any, cast

import docker
import psycopg
import yaml
from docker.models.containers import Container

from tests.waiting import wait_until

ROOT = Path(__file__).parents[3]
GUESTCOMMS = ROOT / ".venv" / "bin" / "guestcomms"
PORTS = ("read_write", "read_only", "direct", "prometheus", "alertmanager", "statistics")
BELOW_OUTGOING = range(20000, 32768)


class CommandFailedError(AssertionError):
    """A command of the project ended otherwise than the test wants."""


class Cluster:
    """One stack with free ports, its own Pulumi backend and passphrase."""

    def __init__(self, directory: Path, **sections: Any) -> None:
        self.stack = f"test-{secrets.token_hex(3)}"
        self.file = ROOT / "infra" / "stacks" / f"Pulumi.{self.stack}.yaml"
        self.backend = directory
        self.ports = dict(zip(PORTS, free_ports(len(PORTS)), strict=True))
        self.environment = {
            **os.environ,
            "PULUMI_BACKEND_URL": directory.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(16),
        }
        self.sections: dict[str, Any] = {
            "machines": {"database": {"memory": "1GiB", "cores": 2}},
            "place": {"kind": "local", "ports": self.ports},
            **sections,
        }
        self.configure()
        self.docker = docker.from_env()

    def configure(self, **sections: Any) -> None:
        """Write the stack's configuration, with these sections changed."""
        self.sections |= sections
        config = {f"guestcomms:{key}": value for key, value in self.sections.items()}
        self.file.write_text(yaml.safe_dump({"config": config}))

    def run(
        self, *arguments: str, ok: bool = True, seconds: float = 900
    ) -> subprocess.CompletedProcess[str]:
        """Run `guestcomms` on this stack; with `ok` its failure is the test's."""
        done = subprocess.run(
            [str(GUESTCOMMS), "--stack", self.stack, *arguments],
            env=self.environment, cwd=ROOT, stdin=subprocess.DEVNULL,
            capture_output=True, text=True, check=False, timeout=seconds,
        )  # fmt: skip
        if ok and done.returncode != 0:
            raise CommandFailedError(
                f"{arguments} → {done.returncode}\n{done.stdout}\n{done.stderr}"
            )
        return done

    def json(self, *arguments: str, ok: bool = True, seconds: float = 900) -> Any:
        """The JSON that a command prints."""
        return json.loads(self.run(*arguments, "--json", ok=ok, seconds=seconds).stdout)

    def pulumi(self, *arguments: str, ok: bool = True) -> str:
        """Run `pulumi` through the project, and return all it said."""
        done = self.run("pulumi", "--", *arguments, ok=ok)
        return done.stdout + done.stderr

    def dsn(self, *options: str) -> str:
        """A connection URL as `guestcomms dsn` prints it."""
        return self.run("dsn", *options).stdout.strip()

    def query(self, sql: str, *options: str) -> list[tuple[Any, ...]]:
        """Run a statement through one of the ways in, and return its rows."""
        with psycopg.connect(self.dsn(*options), autocommit=True) as connection:
            cursor = connection.execute(sql)
            return list(cursor.fetchall()) if cursor.description else []

    def container(self, machine: str) -> Container:
        """A machine's container."""
        label = [f"guestcomms.stack={self.stack}", f"guestcomms.machine={machine}"]
        (found,) = self.docker.containers.list(all=True, filters={"label": label})
        return found

    def on(self, machine: str, command: str) -> str:
        """Run a shell command as root on a machine; its failure is the test's."""
        code, output = cast("Any", self.container(machine).exec_run(["bash", "-c", command]))
        text = str(output, errors="replace")
        if code != 0:
            raise CommandFailedError(f"{machine}: {command} → {code}\n{text}")
        return text

    def health(self) -> dict[str, Any]:
        """What the agent of the first machine that answers says of the cluster."""
        for machine in self.database_machines:
            container = self.container(machine)
            if container.status != "running":
                continue
            health = ["/opt/guestcomms/agent.pyz", "health"]
            _, output = cast("Any", container.exec_run(health, stderr=False))
            try:
                return dict(json.loads(output))
            except json.JSONDecodeError:
                continue
        raise CommandFailedError("no agent answers")

    @property
    def database_machines(self) -> list[str]:
        """pg-1 and the others."""
        count = self.sections["machines"].get("database_nodes", 3)
        return [f"pg-{number}" for number in range(1, count + 1)]

    @property
    def leader(self) -> str:
        """The machine that leads."""
        return str(self.health()["leader"])

    def wait_healthy(self, seconds: float = 180) -> float:
        """Wait until the cluster is whole again, and return how long that took."""
        began = time.monotonic()
        wait_until(
            lambda: bool(self.health()["healthy"]),
            seconds,
            lambda: self.health()["problems"],
            poll_seconds=0.5,
        )
        return time.monotonic() - began

    def objects(self) -> list[str]:
        """Everything on the Docker engine that carries this stack's label, images excepted."""
        filters: dict[str, str | list[str] | bool] = {"label": f"guestcomms.stack={self.stack}"}
        return [
            *(str(each.name) for each in self.docker.containers.list(all=True, filters=filters)),
            *(str(each.name) for each in self.docker.volumes.list(filters=filters)),
            *(str(each.name) for each in self.docker.networks.list(filters=filters)),
        ]

    def _sweep(self) -> None:
        """Remove what a failed `down` left, by this stack's label alone."""
        filters: dict[str, str | list[str] | bool] = {"label": f"guestcomms.stack={self.stack}"}
        for container in self.docker.containers.list(all=True, filters=filters):
            container.remove(force=True, v=True)
        for volume in self.docker.volumes.list(filters=filters):
            volume.remove(force=True)
        for network in self.docker.networks.list(filters=filters):
            network.remove()

    def close(self) -> None:
        """Take everything down; what is left is an error."""
        try:
            self.run("down", "--everything", "--yes")
            if left := self.objects():
                raise CommandFailedError(f"`guestcomms down` left {left}")
        finally:
            self._sweep()
            self.file.unlink(missing_ok=True)
            self.docker.close()


def free_ports(count: int) -> list[int]:
    """Ports on 127.0.0.1 that nobody listens on at the moment.

    They lie below those that outgoing connections get (Linux: from 32768 on): one of these may be
    anybody's again before a machine publishes it, minutes later.
    """
    found: list[int] = []
    for port in random.sample(BELOW_OUTGOING, len(BELOW_OUTGOING)):
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
            except OSError:
                continue
        found.append(port)
        if len(found) == count:
            return found
    raise OSError(f"no {count} ports of {BELOW_OUTGOING} are free on 127.0.0.1")
