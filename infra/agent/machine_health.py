"""Health of a machine that is no database: its units run and its ports answer."""

import socket
from collections.abc import Mapping, Sequence
from typing import Any

from infra.agent.facts import Machine
from infra.agent.run import run

TIMEOUT = 2.0  # seconds for one question to systemd
CONNECT_TIMEOUT = 1.0


def report(machine: Machine) -> Mapping[str, Any]:
    """Return what systemd says of this machine and which of its ports give no answer."""
    failed = failed_units()
    silent = [port for port in machine.listens if not answers(port)]
    starting = run(["systemctl", "is-system-running"], timeout=TIMEOUT).stdout.strip() in (
        "initializing",
        "starting",
    )
    problems = problems_of(failed, silent, starting=starting)
    return {
        "machine": machine.name,
        "failed_units": failed,
        "silent_ports": silent,
        "healthy": not problems,
        "problems": problems,
    }


def problems_of(failed: Sequence[str], silent: Sequence[int], *, starting: bool) -> list[str]:
    """Return a sentence for everything that is wrong."""
    return [
        *(["The machine is still starting."] if starting else []),
        *(f"Unit {unit} failed: see `journalctl -u {unit}`." for unit in failed),
        *(f"Nothing answers on port {port}." for port in silent),
    ]


def failed_units() -> list[str]:
    """Return the names of the systemd units that failed."""
    listed = run(
        ["systemctl", "list-units", "--state=failed", "--plain", "--no-legend", "--no-pager"],
        timeout=TIMEOUT,
    )
    return [line.split()[0] for line in listed.stdout.splitlines() if line.split()]


def answers(port: int) -> bool:
    """Whether something on this machine takes a TCP connection on `port`."""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=CONNECT_TIMEOUT):
            return True
    except OSError:
        return False
