"""Alerts: what fires now, as Alertmanager says, and what people were told, as the monitor noted."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import datetime

from pydantic import BaseModel, ConfigDict, Field, TypeAdapter, ValidationError

from guestcomms import hints, node
from guestcomms.errors import UnreachableError
from guestcomms.stack import Stack

RECORD = "/var/lib/prometheus/alerts/received.jsonl"
TLS = "/etc/guestcomms/tls"
ACTIVE = "https://{}:9093/api/v2/alerts?active=true&silenced=false&inhibited=false"
WATCHDOG = "Watchdog"
"""Fires always, so that its absence is noticed: never a problem itself."""


class Alert(BaseModel):
    """One alert as Alertmanager holds it."""

    model_config = ConfigDict(frozen=True, extra="ignore", populate_by_name=True)

    labels: Mapping[str, str]
    annotations: Mapping[str, str]
    starts_at: datetime = Field(alias="startsAt")

    @property
    def name(self) -> str:
        """Its name, which is that of its runbook."""
        return self.labels["alertname"]

    @property
    def severity(self) -> str:
        """`critical` or `warning`."""
        return self.labels.get("severity", "none")

    @property
    def description(self) -> str:
        """What is wrong, with its value."""
        return self.annotations.get("description", "")

    @property
    def runbook(self) -> str:
        """Where it says what to do."""
        return self.annotations.get("runbook_url", "")


class Message(Alert):
    """What people were told of an alert: that it is firing, or resolved."""

    received_at: datetime
    status: str


def firing(stack: Stack) -> list[Alert]:
    """The alerts that fire now and are neither silenced nor hidden by a worse one.

    Raises `UnreachableError` when the monitor gives no answer.
    """
    monitor = _monitor(stack)
    files = {"--cacert": "ca.crt", "--cert": "machine.crt", "--key": "machine.key"}
    options = [word for name, file in files.items() for word in (name, f"{TLS}/{file}")]
    said = _ask(stack, ["curl", "-sS", "--max-time", "10", *options, ACTIVE.format(monitor)])
    try:
        found = TypeAdapter(list[Alert]).validate_json(said)
    except ValidationError as error:
        raise _silent(stack, f"Alertmanager answers {said[:80]!r}") from error
    return sorted(
        (alert for alert in found if alert.name != WATCHDOG),
        key=lambda alert: (alert.severity, alert.name, sorted(alert.labels.items())),
    )


def history(stack: Stack, limit: int) -> list[Message]:
    """The last messages, oldest first. Raises `UnreachableError` as `firing`."""
    said = _ask(stack, ["sh", "-c", f"cat {RECORD}.1 {RECORD} 2>/dev/null | tail -n {limit:d}"])
    return [_message(json.loads(line)) for line in said.splitlines()]


def _message(line: dict[str, object]) -> Message:
    return Message.model_validate({**line, "startsAt": line["starts_at"]})


def _monitor(stack: Stack) -> str:
    names = stack.machines("monitor")
    if not names:
        raise UnreachableError(f"Stack {stack.name!r} has no monitor; run {hints.up(stack.name)}.")
    return names[0]


def _ask(stack: Stack, command: list[str]) -> str:
    answer = node.capture(stack, _monitor(stack), command, todo="", check=False)
    if answer.exit_code != 0:
        raise _silent(stack, (answer.stderr.strip().splitlines() or ["it says nothing"])[-1])
    return answer.stdout


def _silent(stack: Stack, said: str) -> UnreachableError:
    monitor = _monitor(stack)
    return UnreachableError(
        f"The monitor gives no answer ({said}), so nobody is told of anything; see"
        f" {hints.command(f'logs {monitor} -u prometheus-alertmanager', stack.name)}."
    )
