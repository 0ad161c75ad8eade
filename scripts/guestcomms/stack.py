"""What a stack that is up gives away: the only module that reads stack outputs.

Passwords are not outputs (Pulumi prints those): they are read from the state, in memory, and leave
this module inside connection strings only.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal
from urllib.parse import quote, urlencode

from pydantic import BaseModel, ConfigDict, ValidationError

from guestcomms import engine, hints, paths
from guestcomms.errors import RefusedError, UnreachableError, UsageError

EndpointName = Literal[
    "read_write", "read_only", "direct", "prometheus", "alertmanager", "statistics"
]
ROLES = ("app", "worker", "ops", "auditor", "report", "monitor", "migrator")
"""The groups of people and programs; a stack has one login for each."""


class _Part(BaseModel):
    """A part of the outputs; what a newer stack says beyond it is no error."""

    model_config = ConfigDict(frozen=True, extra="ignore")


class Endpoint(_Part):
    """An address that leads to a service of the cluster."""

    host: str
    port: int

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Machine(_Part):
    """A machine: its role, its address in the cluster's network, how to run a command on it.

    `terminal` is another way, for commands that draw on one, where the place has two.
    """

    role: Literal["database", "proxy", "store", "monitor", "drill"]
    address: str
    exec: tuple[str, ...]
    terminal: tuple[str, ...] = ()


class Outputs(_Part):
    """The stack outputs."""

    stack: str
    place: str
    clone: str
    database: str
    endpoints: Mapping[EndpointName, Endpoint]
    ca_certificate: str
    machines: Mapping[str, Machine]
    logins: Mapping[str, str]
    spec: Mapping[str, Any]


@dataclass(frozen=True)
class Resource:
    """One resource of the state; `outputs` hold secrets in clear if they were asked for."""

    urn: str
    type: str
    protected: bool
    outputs: Mapping[str, Any] = field(repr=False)

    @property
    def name(self) -> str:
        """Its name in the program."""
        return self.urn.rpartition("::")[2]

    @property
    def kind(self) -> str:
        """Its type without package and module: `Machine`, `Volume`, `Login`."""
        return self.type.rpartition(":")[2]

    @property
    def owned(self) -> bool:
        """Whether it stands for something that exists, unlike providers and the stack itself."""
        return not self.type.startswith(("pulumi:providers:", "pulumi:pulumi:"))


@dataclass(frozen=True)
class Stack:
    """A stack that is up."""

    name: str
    outputs: Outputs
    passwords: Mapping[str, str] = field(repr=False)
    """Login → password."""

    @classmethod
    def load(cls, name: str) -> Stack:
        """Read a stack's outputs and passwords from its state, with one call of Pulumi.

        Raises `UnreachableError` when the stack does not exist or is not up, `RefusedError` when
        the passphrase does not open it or its outputs are not those that this version writes.
        """
        resources = read_state(name, show_secrets=True)
        outputs = _outputs(resources)
        logins = [r.outputs for r in resources if r.kind == "Login" and "password" in r.outputs]
        # The former login of one that is being rotated: a stack whose update did not finish still
        # names it.
        logins += [former for login in logins if (former := login.get("previous"))]
        passwords = {str(login["login"]): str(login["password"]) for login in logins}
        try:
            parsed = Outputs.model_validate(outputs)
        except ValidationError as error:
            wrong = [".".join(map(str, item["loc"])) for item in error.errors()]
            missing = all(item["type"] == "missing" for item in error.errors())
            raise (_not_up(name) if missing else _strange(name, wrong)) from error
        if not set(parsed.logins.values()) <= set(passwords):
            raise _not_up(name)
        return cls(name, parsed, passwords)

    @property
    def ca_file(self) -> Path:
        """The cluster's CA certificate as a file, written when it is absent or has changed."""
        file = paths.stack_directory(self.name) / "ca.crt"
        if not file.is_file() or file.read_text() != self.outputs.ca_certificate:
            file.write_text(self.outputs.ca_certificate)
        return file

    def login(self, role: str) -> str:
        """The login of a role. Raises `UsageError`, which names the roles there are."""
        if role not in self.outputs.logins:
            roles = ", ".join(sorted(self.outputs.logins))
            raise UsageError(f"There is no role {role!r}; choose one of: {roles}.")
        return self.outputs.logins[role]

    def machine(self, name: str) -> Machine:
        """A machine by name. Raises `UsageError`, which names the machines there are."""
        if name not in self.outputs.machines:
            raise UsageError(
                f"Stack {self.name!r} has no machine {name!r}; choose one of:"
                f" {', '.join(self.outputs.machines)}."
            )
        return self.outputs.machines[name]

    def machines(self, role: str) -> tuple[str, ...]:
        """Names of the machines of a role."""
        return tuple(n for n, machine in self.outputs.machines.items() if machine.role == role)

    def endpoint(self, name: EndpointName) -> Endpoint:
        """An address by what it leads to. Raises `UsageError` if this stack has none such."""
        if name not in self.outputs.endpoints:
            raise UsageError(
                f"Stack {self.name!r} has no endpoint {name!r}; it has:"
                f" {', '.join(self.outputs.endpoints)}."
            )
        return self.outputs.endpoints[name]

    @property
    def consoles(self) -> str:
        """Where a browser finds the console pages. Raises as `endpoint`."""
        return f"https://{self.endpoint('prometheus')}/consoles/overview.html"

    def dsn(
        self,
        role: str,
        *,
        read_only: bool = False,
        direct: bool = False,
        with_password: bool = True,
    ) -> str:
        """A connection URL of a role that verifies the server's certificate.

        Parameters: `read_only` leads to the standbys; `direct` past the pooler to the leader's
        PostgreSQL, for what needs a session (migrations, LISTEN, advisory locks); `with_password`
        off for a URL that becomes an argument of a program, which every user can read.
        Raises `UsageError` for an unknown role or for both at once.
        """
        if read_only and direct:
            raise UsageError("--direct leads to the leader, --read-only to standbys; give one.")
        login = self.login(role)
        endpoint = self.endpoint("read_only" if read_only else "direct" if direct else "read_write")
        host = f"[{endpoint.host}]" if ":" in endpoint.host else endpoint.host
        user = quote(login, safe="")
        if with_password:
            user += f":{quote(self.passwords[login], safe='')}"
        tls = {"sslmode": "verify-full", "sslrootcert": str(self.ca_file)}
        return (
            f"postgresql://{user}@{host}:{endpoint.port}/{quote(self.outputs.database, safe='')}"
            f"?{urlencode(tls, quote_via=quote, safe='/')}"
        )


def read_state(name: str, *, show_secrets: bool) -> list[Resource]:
    """The resources of a stack; none if it was created but never brought up.

    Raises as `Stack.load`.
    """
    if not engine.state_exists():
        raise engine.no_such_stack(name)
    command = ["stack", "export", *(["--show-secrets"] if show_secrets else [])]
    deployment = json.loads(engine.pulumi(name, command))["deployment"]
    return [
        Resource(
            urn=entry["urn"],
            type=entry["type"],
            protected=bool(entry.get("protect")),
            outputs={key: _plain(value) for key, value in entry.get("outputs", {}).items()},
        )
        for entry in deployment.get("resources", [])
    ]


def check_clone(name: str, resources: Sequence[Resource]) -> None:
    """Raise `RefusedError` if what the state tells of was made by another clone than this one.

    The names of machines and volumes carry the clone: `up` would make new, empty ones here.
    """
    maker, mine = _outputs(resources).get("clone"), paths.clone_id()
    made = any(resource.kind in ("Machine", "Volume") for resource in resources)
    if made and maker and maker != mine:
        raise RefusedError(
            f"The state of stack {name!r} was made by clone {maker}, this clone is"
            f" {mine or 'a new one'}: machines, volumes and backups of {maker} would be replaced;"
            f" take them over with `echo {maker} > .state/clone`, or choose another backend in"
            " PULUMI_BACKEND_URL."
        )


def _outputs(resources: Sequence[Resource]) -> Mapping[str, Any]:
    return next((r.outputs for r in resources if r.type == "pulumi:pulumi:Stack"), {})


def _plain(value: Any) -> Any:
    """A value of the state with its secrets unwrapped, where the export shows them."""
    if isinstance(value, Mapping):
        if _SPECIAL_VALUE in value and "plaintext" in value:
            return json.loads(value["plaintext"])
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, list) else value


_SPECIAL_VALUE = "4dabf18193072939515e22adb298388d"
"""The key by which Pulumi tells special values in a state from ordinary objects."""


def _not_up(name: str) -> UnreachableError:
    return UnreachableError(
        f"Stack {name!r} exists but is not up: it was taken down, or its last update did not"
        f" finish; {hints.up(name)} goes on where it stopped."
    )


def _strange(name: str, wrong: list[str]) -> RefusedError:
    return RefusedError(
        f"The outputs of stack {name!r} are not what this version of guestcomms writes"
        f" ({', '.join(wrong)}); run {hints.up(name)} with the version checked out here."
    )
