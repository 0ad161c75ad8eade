"""What people would have got: the record that the monitor keeps of every message."""

from __future__ import annotations

import time
from datetime import datetime

from tests.ops.cluster.harness import Cluster

LOOK = """
import json, pathlib, sys
alert, status, since = sys.argv[1:]
found = []
for name in ("received.jsonl.1", "received.jsonl"):
    path = pathlib.Path("/var/lib/prometheus/alerts") / name
    for line in path.read_text().splitlines() if path.exists() else ():
        message = json.loads(line)
        fresh = message["starts_at"] if status == "firing" else message["received_at"]
        if (message["labels"]["alertname"], message["status"]) == (alert, status) and fresh > since:
            found.append(message["received_at"])
print(min(found, default=""))
"""

FIRING = """
import json, pathlib, sys
last = {}
for name in ("received.jsonl.1", "received.jsonl"):
    path = pathlib.Path("/var/lib/prometheus/alerts") / name
    for line in path.read_text().splitlines() if path.exists() else ():
        message = json.loads(line)
        if message["labels"]["alertname"] == sys.argv[1]:
            last[json.dumps(message["labels"], sort_keys=True)] = message["status"]
print("yes" if "firing" in last.values() else "no")
"""


def is_firing(cluster: Cluster, alert: str) -> bool:
    """Whether people were told of an alert, and not yet that it is over."""
    said = cluster.on("monitor-1", f"python3 - {alert} <<'END'\n{FIRING}END")
    return said.strip() != "no"


def first(cluster: Cluster, alert: str, status: str, since: datetime) -> datetime | None:
    """When a person got the first message on an alert after `since`.

    Looked up on the monitor itself: Docker's SDK now and then cuts answers that are long.

    Parameters: `status`, "firing" (of an alert that began after `since`) or "resolved".
    """
    moment = since.strftime("%Y-%m-%dT%H:%M:%S.%f")
    said = cluster.on("monitor-1", f"python3 - {alert} {status} {moment} <<'END'\n{LOOK}END")
    return datetime.fromisoformat(said.strip()) if said.strip() else None


def seconds_until(
    cluster: Cluster, alerts: tuple[str, ...], status: str, since: datetime, patience: float
) -> dict[str, float]:
    """Seconds from `since` to each alert's message; one that does not come in time is left out."""
    found: dict[str, float] = {}
    deadline = time.monotonic() + patience
    while len(found) < len(alerts):
        for alert in alerts:
            if alert not in found and (at := first(cluster, alert, status, since)):
                found[alert] = (at - since).total_seconds()
        if time.monotonic() > deadline:
            break
        time.sleep(1)
    return found
