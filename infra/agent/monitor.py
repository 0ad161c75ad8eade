"""Is the monitor alive? Asked from outside of it, because a dead one tells nobody.

The alert Watchdog always fires. Prometheus renews it at Alertmanager each minute, so one that was
not renewed for a while, or an Alertmanager that does not answer, means that no alert gets through.
"""

import http.client
import json
import logging
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from infra.agent import patroni
from infra.agent.errors import AgentError

MACHINE = "monitor-1"
PORT = 9093
QUICK = 1.5  # seconds for an answer
SILENCE = 180.0  # seconds without renewal; Prometheus' --rules.alert.resend-delay is 60
PATH = "/api/v2/alerts?filter=alertname%3DWatchdog&inhibited=false"

log = logging.getLogger(__name__)


def look(name: str = MACHINE) -> Mapping[str, Any]:
    """Return whether the monitor is alive, since when its last sign of life is, and what is wrong.

    No answer is an answer here: `alive` is then false and `problem` says why.
    """
    try:
        status, body = patroni.request(name, "GET", PATH, timeout=QUICK, port=PORT)
        if status == http.client.OK:
            return judge(json.loads(body), datetime.now(UTC))
        problem = f"status {status}"
    except (OSError, http.client.HTTPException, ValueError, KeyError, TypeError) as error:
        problem = str(error)
    said = f"Alertmanager on {name} gives no answer: {problem}"
    return {"alive": False, "last_sign_at": None, "problem": said}


def judge(alerts: Sequence[Mapping[str, Any]], now: datetime) -> Mapping[str, Any]:
    """Return the verdict on Alertmanager's list of firing Watchdogs at `now`."""
    if not alerts:
        problem = "The alert Watchdog does not fire: see `journalctl -u prometheus` on the monitor."
        return {"alive": False, "last_sign_at": None, "problem": problem}
    last = max(datetime.fromisoformat(alert["updatedAt"]) for alert in alerts)
    silence = (now - last).total_seconds()
    problem = (
        f"Prometheus has not renewed the alert Watchdog for {silence:.0f} s:"
        " see `journalctl -u prometheus` on the monitor."
    )
    alive = silence < SILENCE
    return {
        "alive": alive,
        "last_sign_at": last.isoformat(timespec="seconds"),
        "problem": None if alive else problem,
    }


def step() -> None:
    """Say in the journal when the monitor is dead.

    Raises:
        AgentError: it is; the loop of `serve` logs it once, and again when it lives.
    """
    seen = look()
    if not seen["alive"]:
        raise AgentError(
            f"The monitor gives no sign of life, no alert gets through. {seen['problem']}"
        )
