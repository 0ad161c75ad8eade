"""Rotation of certificates, authority and passwords: where it stands, and the next step.

Everything is read from the stack's state, so that a rotation which was interrupted goes on
wherever the command is run next. A step is one `pulumi up` with a request in its environment; what
requests mean is said in infra/trust/rotation.py.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from guestcomms import hints, node
from guestcomms.errors import RefusedError, UnreachableError
from guestcomms.health import AGENT
from guestcomms.stack import Resource, Stack

VARIABLE = "GUESTCOMMS_ROTATE"
AUTHORITY_STEPS = ("trust", "issue", "retire")


@dataclass(frozen=True)
class Login:
    """A role's login, the one that it takes over from, and the rotation it was made in."""

    role: str
    first_name: str
    name: str
    former: str | None
    former_password: str | None


@dataclass(frozen=True)
class State:
    """What the stack's state says of a stack's trust."""

    certificates: Mapping[str, Resource]
    machines: Mapping[str, Resource]
    authority: Resource
    logins: Mapping[str, Login]

    @classmethod
    def of(cls, name: str, resources: Sequence[Resource]) -> State:
        """Sort the resources of stack `name`. Raises `UnreachableError` if it is not up."""
        kinds: dict[str, dict[str, Resource]] = {}
        for resource in resources:
            kinds.setdefault(resource.kind, {})[resource.name] = resource
        machines, authorities = kinds.get("Machine", {}), kinds.get("Authority", {})
        if not machines or not authorities:
            raise UnreachableError(f"Stack {name!r} is not up; {hints.up(name)} brings it up.")
        logins = [_login(each) for each in kinds.get("Login", {}).values()]
        return cls(
            certificates=kinds.get("Certificate", {}),
            machines=machines,
            authority=next(iter(authorities.values())),
            logins={login.role: login for login in logins},
        )

    @property
    def authority_step(self) -> str | None:
        """The last step of the authority's rotation that is under way."""
        step = self.authority.outputs.get("step")
        return None if step is None else str(step)

    @property
    def trusts_otherwise(self) -> list[str]:
        """Machines that do not trust what the state wants them to: a step ended early."""
        wanted = self.authority.outputs.get("bundle")
        told = {name: each.outputs.get("secrets") or {} for name, each in self.machines.items()}
        return [name for name, secrets in told.items() if secrets.get("ca.crt") != wanted]

    @property
    def undelivered(self) -> list[str]:
        """Machines that have not got what the state wants them to have: an update ended early."""
        return [name for name in self.machines if not self._is_delivered(name)]

    def _is_delivered(self, machine: str) -> bool:
        told = self.machines[machine].outputs.get("secrets") or {}
        made = self.certificates.get(machine)
        return (
            made is not None
            and told.get("machine.crt") == made.outputs["certificate"]
            and told.get("ca.crt") == self.authority.outputs.get("bundle")
            and self._knows_logins(told)
        )

    @property
    def unfinished_token(self) -> str | None:
        """The token of a rotation of certificates that some certificate has not taken part in."""
        tokens = {each.outputs.get("rotation") for each in self.certificates.values()}
        newest = max((str(token) for token in tokens if token), default=None)
        return newest if len(tokens) > 1 else None

    def _knows_logins(self, secrets: Mapping[str, Any]) -> bool:
        if "logins.json" not in secrets:
            return True
        told = json.loads(secrets["logins.json"])
        able = {name for name, facts in told.items() if facts["verifier"] is not None}
        names = {login.name for login in self.logins.values()}
        return able == names | {login.former for login in self.logins.values() if login.former}


def request(
    *,
    certificates: str | None = None,
    authority: str | None = None,
    logins: Mapping[str, tuple[str, str]] | None = None,
) -> dict[str, str]:
    """The environment that asks a run of Pulumi for a step."""
    asked = {"certificates": certificates, "authority": authority, "logins": logins}
    return {VARIABLE: json.dumps({key: value for key, value in asked.items() if value})}


def authority_steps(done: str | None, *, undelivered: bool, until: str) -> list[str]:
    """The steps from where the authority's rotation stands to `until`.

    The last step that was taken comes again while a machine may not have got it: on the next one
    all of them must know the one before. Raises `RefusedError` if `until` lies behind.
    """
    last = AUTHORITY_STEPS.index(until)
    if done is None:
        # Interrupted in its last step: the state is where it should be, some machines are not.
        return ["retire"] if undelivered else list(AUTHORITY_STEPS[: last + 1])
    at = AUTHORITY_STEPS.index(done)
    if last < at:
        raise RefusedError(
            f"The rotation of the authority has taken step {done!r} already, it does not go back to"
            f" {until!r}; finish it with --until retire."
        )
    return list(AUTHORITY_STEPS[at if undelivered else at + 1 : last + 1])


def connections(stack: Stack) -> dict[str, int]:
    """How many connections each login has now, through the poolers and directly.

    Raises `GuestcommsError` if a database machine does not say: then nobody knows.
    """
    counted: dict[str, int] = {}
    for machine in stack.machines("database"):
        todo = f"look at it with {hints.command(f'logs {machine} -u pgbouncer', stack.name)}"
        command = ["runuser", "-u", "postgres", "--", AGENT, "sessions"]
        told = json.loads(node.capture(stack, machine, command, todo=todo).stdout)
        for login, number in told["logins"].items():
            counted[login] = counted.get(login, 0) + int(number)
    return counted


def _login(resource: Resource) -> Login:
    outputs = resource.outputs
    former = outputs.get("previous") or {}
    return Login(
        role=resource.name.removeprefix("login-"),
        first_name=str(outputs.get("first_name") or outputs["login"]),
        name=str(outputs["login"]),
        former=former.get("login"),
        former_password=former.get("password"),
    )
