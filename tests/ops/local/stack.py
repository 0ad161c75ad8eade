"""A stack of the real Pulumi engine on the real Docker engine, in a folder of its own."""

import json
import os
import re
import secrets
import shutil
import signal
import subprocess
from pathlib import Path
from typing import Any

import docker
from docker.models.containers import Container

from infra.agent.build import build
from infra.gate import Answer
from infra.local.container import run
from infra.local.names import Owner
from infra.machine import machines
from infra.machine.image import dockerfile
from infra.spec import ClusterSpec
from tests.ops.cluster.harness import free_ports

PROGRAM = Path(__file__).parent / "program"
SUMMARY = re.compile(r"^ +(?:[+~-]|\+-) ?\d+ .*$", re.MULTILINE)


class PulumiError(Exception):
    """Pulumi ended with an error; the message is its output."""


class Stack:
    """A Pulumi project with one stack, its own file backend and passphrase."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.docker = docker.from_env()
        self.owner = Owner(f"test-{secrets.token_hex(3)}", secrets.token_hex(3))
        shutil.copytree(PROGRAM, folder, dirs_exist_ok=True)
        # Rendered once: what a run compares must not change with the sources meanwhile.
        agent = folder / "agent.pyz"
        sha256 = build(agent)
        models = machines(ClusterSpec.load(self.owner.stack, {}), sha256)
        self.settings: dict[str, Any] = {
            "clone": self.owner.clone,
            "agent": str(agent),
            "agent_sha256": sha256,
            # An image of its own on top of the shared layers: a test removes it.
            "dockerfile": f"{dockerfile()}LABEL guestcomms.test={self.owner.stack}\n",
            "user_data": {model.name: model.user_data for model in models},
            "comment": "",
            "memory_mib": 256,
            "port": free_ports(1)[0],
            "store_port": 8333,
        }
        self.backend = folder / "state"
        self.backend.mkdir()
        self.environment = {
            **os.environ,
            "PULUMI_BACKEND_URL": self.backend.as_uri(),
            "PULUMI_CONFIG_PASSPHRASE": secrets.token_urlsafe(16),
            "PULUMI_SKIP_UPDATE_CHECK": "1",
        }
        self.change()
        self.pulumi("stack", "init", self.owner.stack)

    def change(self, **changes: Any) -> None:
        """Change settings of the program."""
        self.settings |= changes
        path = self.folder / "settings.json"
        path.write_text(json.dumps(self.settings), encoding="utf-8")

    def pulumi(self, *arguments: str, **environment: str) -> str:
        """Run pulumi and return all it says.

        Raises:
            PulumiError: it failed.
        """
        done = subprocess.run(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.environment | environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
        )
        if done.returncode != 0:
            raise PulumiError(done.stdout)
        return done.stdout

    def up(self) -> str:
        """Run `pulumi up`."""
        return self.pulumi("up", "--yes", "--skip-preview")

    def refresh(self) -> str:
        """Run `pulumi refresh`."""
        return self.pulumi("refresh", "--yes", "--skip-preview")

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Start pulumi in a session of its own, so that `kill` finds all that belongs to it."""
        return subprocess.Popen(
            ["pulumi", *arguments, "--non-interactive"],
            cwd=self.folder,
            env=self.environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )

    def exported(self) -> dict[str, Any]:
        """Return the state with secrets in clear."""
        state: dict[str, Any] = json.loads(self.pulumi("stack", "export", "--show-secrets"))
        return state

    def container(self, machine: str) -> Container:
        """Return a machine's container."""
        return self.docker.containers.get(self.owner.container(machine))

    def run(self, machine: str, *command: str) -> Answer:
        """Run a command on a machine."""
        return run(self.container(machine), *command)

    def objects(self) -> set[str]:
        """Return the names of all Docker objects of this stack."""
        filters = self.owner.filters
        return {
            *(str(each.name) for each in self.docker.containers.list(all=True, filters=filters)),
            *(str(each.name) for each in self.docker.networks.list(filters=filters)),
            *(str(each.name) for each in self.docker.volumes.list(filters=filters)),
        }

    def close(self) -> None:
        """Remove what a failed test may have left, by this stack's labels alone."""
        filters = self.owner.filters
        for container in self.docker.containers.list(all=True, filters=filters):
            container.remove(force=True, v=True)
        for network in self.docker.networks.list(filters=filters):
            network.remove()
        for volume in self.docker.volumes.list(filters=filters):
            volume.remove(force=True)
        for image in self.docker.images.list(
            filters={"label": f"guestcomms.test={self.owner.stack}"}
        ):
            self.docker.images.remove(str(image.id), force=True)
        self.docker.close()


def changes(output: str) -> list[str]:
    """Return the lines of Pulumi's last summary, such as `+ 1 created`."""
    summary = output.rpartition("Resources:")[2]
    return [line.strip() for line in SUMMARY.findall(summary) if "changes." not in line]


def kill_session(process: subprocess.Popen[bytes]) -> None:
    """End what a killed pulumi leaves behind: language host, program and plugin."""
    for entry in Path("/proc").iterdir():
        try:
            pid = int(entry.name)
            if os.getsid(pid) == process.pid:
                os.kill(pid, signal.SIGKILL)
        except (ValueError, ProcessLookupError):
            continue
    process.wait()
