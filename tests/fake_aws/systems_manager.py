"""Systems Manager over HTTP, for boto3: commands reach the world's instances.

What a command does on an instance is the business of `Machines`: here they only answer as machines
of the project do. Calls are judged by the service model, as the provider's are.
"""

from __future__ import annotations

import json
import shlex
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, cast

from docker.errors import APIError

from tests.fake_aws.hosts.machines import Hosts
from tests.fake_aws.kinds.names import INSTANCE, OBJECT
from tests.fake_aws.service import Refused, validate
from tests.fake_aws.world import Item, World

AGENT = "/opt/guestcomms/agent.pyz"
COMMANDS = "commands.jsonl"
Answer = tuple[int, str, str]
"""Exit code, output, errors."""
LONGEST = 24_000
"""Characters of output that are handed back.
Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCommandInvocation.html"""


def name_of(instance: Item) -> str:
    """The name of a machine, which its tags tell."""
    return str((instance.get("tagsAll") or {}).get("guestcomms:machine"))


class Machines:
    """Instances that answer as healthy machines do, and remember who leads and who is marked.

    `sick` names machines whose database does not run.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.marked: set[str] = set()
        self.leader = "pg-1"
        self.sick: set[str] = set()

    def all(self) -> dict[str, Item]:
        """The world's instances by their ids."""
        return {each.id: each for each in World(self.folder).of(INSTANCE)}

    def run(self, ident: str, command: list[str]) -> Answer:
        """What a command on an instance ends with and prints."""
        name = name_of(self.all()[ident])
        with (self.folder / COMMANDS).open("a", encoding="utf-8") as file:
            file.write(json.dumps({"machine": name, "command": command}) + "\n")
        return self._answer(name, ident, command)

    def is_online(self, item: Item) -> bool:  # noqa: ARG002
        """Whether the instance's agent can be reached."""
        return True

    def _answer(self, name: str, ident: str, command: list[str]) -> Answer:
        code, printed = 0, dict[str, Any]()
        match command:
            case ["cloud-init", "status", *_]:
                printed = {"status": "done"}
            case ["test", "-e", _]:
                code = int(ident not in self.marked)
            case ["touch", _]:
                self.marked.add(ident)
            case ["rm", "-f", _]:
                self.marked.discard(ident)
            case [_, "health"]:
                printed = self._health()
            case [_, "handover"]:
                healthy = [each for each in self._databases() if each not in {name, *self.sick}]
                self.leader = healthy[0]
            case [_, "settings"]:
                printed = self._settings(name)
            case [_, "settings", "--apply"]:
                printed = {"restarted": []}
            case ["/usr/local/sbin/guestcomms-fetch"] | [_, "prepare"]:
                printed = {"changed": []}
            case _:
                code = 127
        return code, json.dumps(printed), ""

    def _settings(self, name: str) -> dict[str, Any]:
        """Those that the machine's place file gives it."""
        key = f"machines/{name}/place.json"
        found = World(self.folder).find((OBJECT,), "key", key)
        return dict(json.loads(str(found.get("content")))["settings"]) if found else {}

    def _databases(self) -> list[str]:
        names = {name_of(item) for item in self.all().values()}
        return sorted(name for name in names if name.startswith("pg-"))

    def _health(self) -> dict[str, Any]:
        there = self._databases()
        if self.leader not in there:
            self.leader = there[0]
        states = {name: "stopped" if name in self.sick else "streaming" for name in there}
        problems = [f"PostgreSQL on {name} is stopped" for name in there if name in self.sick]
        return {
            "healthy": not problems,
            "problems": problems,
            "leader": self.leader,
            "members": {
                name: {"state": "running" if name == self.leader else state}
                for name, state in states.items()
            },
            "replication": [
                {"name": name, "sync_state": "quorum"}
                for name in there
                if name not in {self.leader, *self.sick}
            ],
            "etcd": {name: {"healthy": name not in self.sick} for name in there},
        }


class Booted(Machines):
    """Instances that have booted (`tests.fake_aws.hosts`): commands are run on them."""

    def __init__(self, folder: Path, site: str) -> None:
        super().__init__(folder)
        self._hosts = Hosts(folder, site)

    def is_online(self, item: Item) -> bool:
        container = self._hosts.container(item.id)
        return container is not None and container.status == "running"

    def _answer(self, name: str, ident: str, command: list[str]) -> Answer:  # noqa: ARG002
        container = self._hosts.container(ident)
        if container is None or container.status != "running":
            raise Refused("InvalidInstanceId", f"{ident} does not run")
        code, streams = cast("Any", container.exec_run(command, demux=True))
        output, errors = ((each or b"").decode(errors="replace")[:LONGEST] for each in streams)
        return code, output, errors


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, machines: Machines) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.machines = machines
        self.answers: dict[str, dict[str, Any]] = {}

    def answer(self, operation: str, given: dict[str, Any]) -> dict[str, Any]:
        """One call of the API."""
        validate(f"ssm:{operation}", given)
        match operation:
            case "DescribeInstanceInformation":
                wanted = [each["Values"] for each in given.get("Filters", [])]
                return {"InstanceInformationList": self._list(wanted)}
            case "SendCommand":
                return self._send(given)
            case "GetCommandInvocation":
                return self.answers[given["CommandId"]]
        raise Refused("UnknownOperationException", f"the simulation has no ssm:{operation}")

    def _list(self, wanted: list[list[str]]) -> list[dict[str, Any]]:
        return [
            {"InstanceId": item.id, "PingStatus": "Online", "IPAddress": item.get("privateIp")}
            for item in self.machines.all().values()
            if self.machines.is_online(item)
            and all((item.get("tagsAll") or {}).get("stack") in values for values in wanted)
        ]

    def _send(self, given: dict[str, Any]) -> dict[str, Any]:
        (ident,) = given["InstanceIds"]
        if ident not in self.machines.all():
            raise Refused("InvalidInstanceId", f"there is no instance {ident}")
        command, words = str(uuid.uuid4()), shlex.split(given["Parameters"]["commands"][0])
        common = {"CommandId": command, "InstanceId": ident}
        self.answers[command] = {**common, "Status": "InProgress", "ResponseCode": -1}

        def run() -> None:
            try:
                code, output, errors = self.machines.run(ident, words)
            except (Refused, APIError):  # it went away meanwhile
                self.answers[command] = {**common, "Status": "TimedOut", "ResponseCode": -1}
                return
            self.answers[command] = {
                **common,
                "Status": "Failed" if code else "Success",
                "ResponseCode": code,
                "StandardOutputContent": output,
                "StandardErrorContent": errors,
            }

        threading.Thread(target=run, daemon=True).start()
        return {"Command": {"CommandId": command}}


class _Handler(BaseHTTPRequestHandler):
    server: _Server

    def do_POST(self) -> None:
        """Answer one call of the JSON protocol."""
        operation = self.headers["X-Amz-Target"].rpartition(".")[2]
        given = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        try:
            status, body = 200, self.server.answer(operation, given)
        except Refused as error:
            status, body = 400, {"__type": error.code, "message": str(error)}
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/x-amz-json-1.1")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - http.server's own name
        """Say nothing on the terminal."""


@contextmanager
def serving(machines: Machines) -> Iterator[str]:
    """Serve while the block runs; gives the endpoint's URL."""
    server = _Server(machines)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
