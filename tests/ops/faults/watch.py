"""Looks at every machine's PostgreSQL all the time, on the machine itself.

Through the local socket, so that a machine that is cut off from the network is seen as well: that
is where a second primary would hide.
"""

from __future__ import annotations

import threading
from contextlib import suppress
from functools import partial
from typing import Any, Self, cast

import requests
from docker.errors import APIError

from tests.ops.cluster.writer import CANCELLED_WAIT, TIMELINE
from tests.ops.faults.checker import Sample
from tests.ops.faults.stage import Stage

RETRY_SECONDS = 0.5
PROBE = "public.fault_probe"
CREATE = f"SET ROLE comms_owner; CREATE TABLE IF NOT EXISTS {PROBE} (at timestamptz)"
DROP = f"SET ROLE comms_owner; DROP TABLE IF EXISTS {PROBE}"

SCRIPT = rf"""
touch /tmp/faults-watch
SECONDS=0
while [ -e /tmp/faults-watch ] && [ $SECONDS -lt 900 ]; do
    began=$EPOCHREALTIME
    said=$(timeout 3 psql -XAtq -d wedsync 2>&1 <<'SQL'
SELECT NOT pg_is_in_recovery() AS primary \gset
\if :primary
SELECT 'claims ' || {TIMELINE};
INSERT INTO {PROBE} VALUES (clock_timestamp()) RETURNING 'accepts';
\endif
SQL
)
    echo "$began|$EPOCHREALTIME|$(echo "$said" | tr '\n' ';')"
    sleep 0.4
done
"""


class Watch:
    """One thread a machine that collects samples for as long as the context lasts."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._stop = threading.Event()
        self.samples: list[Sample] = []
        self._threads = [
            threading.Thread(target=self._follow, args=(machine,), daemon=True)
            for machine in stage.database_machines
        ]

    def __enter__(self) -> Self:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for machine in self._stage.database_machines:
            # One that is down has nothing to stop, and the fault's own failure is the news.
            with suppress(APIError, AssertionError, ValueError):
                self._stage.on(machine, "rm -f /tmp/faults-watch")
        for thread in self._threads:
            thread.join(timeout=10)

    def _follow(self, machine: str) -> None:
        command = ["runuser", "-u", "postgres", "--", "bash", "-c", SCRIPT]
        while not self._stop.is_set():
            try:
                container = self._stage.container(machine)
                _, stream = cast("Any", container.exec_run(command, stream=True))
                self._read(machine, stream)
            except (APIError, ValueError, requests.RequestException):
                pass  # it is down, frozen or gone: there is nothing to look at
            self._stop.wait(RETRY_SECONDS)

    def _read(self, machine: str, stream: Any) -> None:
        rest = ""
        for part in stream:
            *lines, rest = (rest + part.decode(errors="replace")).split("\n")
            self.samples.extend(filter(None, map(partial(parse, machine), lines)))
            if self._stop.is_set():
                return


def parse(machine: str, line: str) -> Sample | None:
    """One line of the script; None for what is not a line of it."""
    began, _, rest = line.partition("|")
    ended, _, said = rest.partition("|")
    if not (began and ended):
        return None
    claims, _, after = said.partition("claims ")[2].partition(";")
    return Sample(
        machine=machine,
        began=float(began),
        ended=float(ended),
        claims=bool(claims),
        accepted="accepts" in after and CANCELLED_WAIT not in after,
        timeline=int(claims, 16) if claims else 0,
    )
