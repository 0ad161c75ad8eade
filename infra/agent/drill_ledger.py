"""The ledger's side of restore drills: one attempt at a drill, held under a lease and reported.

The agent of the drill machine may live longer than a primary: whoever leads at the moment is told.
"""

import logging
import math
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass

import psycopg
from psycopg.types.json import Jsonb

from infra.agent import checks, pgbackrest
from infra.agent.deadline import Connection
from infra.agent.errors import AgentError
from infra.agent.run import one_line

LEASE = "2 minutes"
SHORTEST_LEASE = "10 seconds"
AGAIN_AFTER = "5 minutes"
EXTEND_EVERY = 30.0  # seconds
REPORT_PATIENCE = 300.0  # seconds to find a primary that hears the result
REPORT_PAUSE = 1.0
MOST_ATTEMPTS = 3
DRILL_ID = re.compile(r"drill_[0-9]{8}_[0-9]{6}_[0-9]{6}\Z")
KINDS = ("point", "name", "time", "lsn", "xid")
POINT_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z")
NOT_OURS = "GC103"

log = logging.getLogger(__name__)


class LostError(AgentError):
    """Another attempt has the drill, or the agent is to stop."""


class LateError(AgentError):
    """The attempt takes longer than it may; another one would hold up the drills behind it too."""

    again = False


@dataclass(frozen=True)
class Claim:
    """A drill that this machine holds, and the number of the attempt."""

    drill_id: str
    kind: str
    target: str
    inclusive: bool
    keep: bool
    attempt: int
    point_name: str | None
    lsn: int | None
    """Where the target lies in the log, or a position before it, if that is known."""


class Attempt:
    """One attempt at a drill: it keeps the lease while it works, and reports how it ended."""

    def __init__(
        self,
        claim: Claim,
        machine: str,
        connect: Callable[[], Connection],
        stop: threading.Event,
    ) -> None:
        self.claim = claim
        self._machine = machine
        self._connect = connect
        self._stop = stop
        self._extended = time.monotonic()
        self._step = ""
        self._patience = self._end = math.inf

    @property
    def ours(self) -> tuple[str, str, int]:
        """What the ledger recognises the attempt by."""
        return self.claim.drill_id, self._machine, self.claim.attempt

    def end_after(self, seconds: float) -> None:
        """Let the attempt go on for so many seconds from now at most."""
        self._patience, self._end = seconds, time.monotonic() + seconds

    def beat(self, step: str | None = None) -> None:
        """Keep the lease and say what goes on; a database that does not answer is waited for.

        Raises:
            LostError: the drill is another attempt's, or the agent is to stop.
            LateError: the attempt takes longer than it may.
        """
        if self._stop.is_set():
            self._extend(SHORTEST_LEASE)
            raise LostError("stopped with the agent, another attempt follows")
        if time.monotonic() > self._end:
            raise LateError(f"not done within {self._patience:.0f} s: {self._step}")
        changed = step is not None and step != self._step
        if not changed and time.monotonic() - self._extended < EXTEND_EVERY:
            return
        self._step = step or self._step
        self._extended = time.monotonic()
        if not self._extend(LEASE):
            raise LostError("somebody else has taken it over")

    def complete(self, found: dict[str, object]) -> None:
        """Report what was found; the verdict is the ledger's."""

        def report(connection: Connection) -> None:
            row = connection.execute(
                "SELECT internal.complete_drill(%s, %s, %s, %s)", [*self.ours, Jsonb(found)]
            ).fetchone()
            log.info("%s: %s", self.claim.drill_id, row[0] if row else "?")

        self._say(report)

    def fail(self, reason: str, *, again: bool) -> None:
        """Report that there is no verdict; `again` says whether another attempt may come to one."""
        pause = AGAIN_AFTER if again else None
        self._say(
            lambda connection: connection.execute(
                "SELECT internal.fail_drill(%s, %s, %s, %s, %s::interval)",
                [*self.ours, reason, pause],
            )
        )

    def _extend(self, lease: str) -> bool:
        try:
            row = (
                self._connect()
                .execute(
                    "SELECT internal.extend_drill_lease(%s, %s, %s, %s::interval, %s)",
                    [*self.ours, lease, self._step or "…"],
                )
                .fetchone()
            )
        except psycopg.Error as error:
            said = one_line(str(error))
            log.warning("%s: cannot extend the lease: %s", self.claim.drill_id, said)
            return True
        return row is not None and row[0] is True

    def _say(self, report: Callable[[Connection], object]) -> None:
        """Report to whichever machine is the primary, for as long as one may be missing."""
        deadline = time.monotonic() + REPORT_PATIENCE
        while True:
            try:
                report(self._connect())
            except psycopg.Error as error:
                if error.sqlstate == NOT_OURS:
                    log.warning("%s", error.diag.message_primary)
                    return
                unheard = error.sqlstate is None or isinstance(error, psycopg.OperationalError)
                if not unheard or time.monotonic() > deadline or self._stop.is_set():
                    raise
                time.sleep(REPORT_PAUSE)
            else:
                return


def take(machine: str, connection: Connection) -> Claim | None:
    """Claim the next drill; None where nobody asks for one.

    Raises:
        psycopg.Error: the database gives no answer; to be tried again.
    """
    row = connection.execute(
        "SELECT drill_id, target_type, target, inclusive, keep, attempt,"
        " restore_point_name, target_lsn::text"
        " FROM internal.claim_drill(%s, %s::interval)",
        [machine, LEASE],
    ).fetchone()
    if row is None:
        return None
    point, lsn = row[6], row[7]
    return Claim(
        drill_id=checks.text(row[0], "drill_id", DRILL_ID),
        kind=checks.one_of(row[1], "target_type", KINDS),
        target=str(row[2]),
        inclusive=row[3] is True,
        keep=row[4] is True,
        attempt=checks.number(row[5], "attempt", 1, MOST_ATTEMPTS),
        point_name=None if point is None else checks.text(point, "point", POINT_NAME),
        lsn=None if lsn is None else pgbackrest.position(checks.text(lsn, "lsn", pgbackrest.LSN)),
    )
