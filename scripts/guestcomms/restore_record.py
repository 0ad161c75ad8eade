"""Where a restore of the cluster stands: a record in etcd, held under a lease by whoever goes on.

etcd lives on every database machine and not in the database that is replaced, so the record
outlives the database, the person's terminal, and any one machine.
"""

from __future__ import annotations

import json
import secrets
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from pydantic import BaseModel, ConfigDict

from guestcomms import health, hints, node
from guestcomms.errors import BusyError, GuestcommsError, RefusedError, UnreachableError
from guestcomms.stack import Stack

LEASE = timedelta(minutes=2)
RENEW_SECONDS = 30.0
AS_ROOT = ("stop", "start")
STEPS = ("begun", "copied", "frozen", "stopped", "aside", "facts", "restored", "told", "whole",
         "done")  # fmt: skip
"""What has been done, in this order: a record names the last one."""


class Record(BaseModel):
    """A restore of the cluster: what is wanted, what is known, and the last step that is done."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    restore_id: str
    kind: str
    value: str
    inclusive: bool
    lsn: str | None = None
    """Where the target lies, or a place before it, if that is known."""
    label: str
    machine: str
    """Which led the old cluster: it is restored, and has the old data and the facts."""
    machines: tuple[str, ...]
    step: str = "begun"
    drill_id: str | None = None
    copy_lsn: str | None = None
    """Where the copy's recovery ended: the cluster's has to end there, too."""
    reached_time: str | None = None
    freezing: bool = False
    """Whether sending may have been frozen for it: noted before it is."""
    abandoned_timeline: int | None = None
    abandoned_at: str | None = None
    reached_lsn: str | None = None
    facts: Mapping[str, Any] | None = None
    stages: tuple[Mapping[str, Any], ...] = ()
    """What was done and interrupted so far, with seconds: whoever goes on adds to it."""
    aborting: bool = False
    """Noted before anything is undone: from then on it is only undone."""
    placed: tuple[str, ...] = ()
    """While undone: machines that have their old data back. It is put there once."""
    leads: bool = False
    """While undone: noted before the old data is started, which is never stopped again."""
    without: tuple[str, ...] = ()
    """While undone: machines that somebody said are gone."""
    releasing: bool = False
    """Noted before any old data is deleted: there is no way back from then on."""
    holder: str | None = None
    lease_until: datetime | None = None

    def has_done(self, step: str) -> bool:
        """Whether a step is behind it."""
        return STEPS.index(self.step) >= STEPS.index(step)

    @property
    def started_at(self) -> datetime:
        """When it was ordered."""
        return datetime.strptime(self.restore_id, "restore_%Y%m%d_%H%M%S").replace(tzinfo=UTC)

    @property
    def state(self) -> str:
        """Where it stands, for people."""
        if self.aborting:
            return "being undone"
        if self.releasing:
            return "being released"
        if self.has_done("done"):
            return "done, and its old data is kept"
        return f"under way ({self.step})"

    @property
    def serves(self) -> bool:
        """Whether one machine leads and serves, so that machines may be mended and changed."""
        return self.leads if self.aborting else self.has_done("told")

    @property
    def target(self) -> str:
        """The target for people."""
        return f"{self.kind} {self.value}{'' if self.inclusive else ', exclusive'}"


def how_to_go_on(record: Record, stack: str) -> str:
    """What a person can do with a restore that has not ended, for a sentence."""
    resume, abort = (
        hints.command(f"restore cluster {option}", stack) for option in ("--resume", "--abort")
    )
    release = hints.command(f"restore release {record.restore_id}", stack)
    if record.aborting:
        return f"go on with {abort}"
    if record.releasing:
        return f"go on with {release}"
    if record.has_done("done"):
        return f"let go of the old data with {release}, or undo it with {abort}"
    return f"go on with {resume}, or undo it with {abort}"


def refuse_changes(stack: Stack) -> None:
    """Raise `RefusedError` while a restore has the machines; no answer is no restore to disturb."""
    try:
        record = Ledger(stack).read()
    except UnreachableError:
        return
    if record is not None and not record.serves:
        raise RefusedError(
            f"{record.restore_id} is {record.state}, and the machines of stack {stack.name} are"
            f" its own until it has ended; {how_to_go_on(record, stack.name)}."
        )


class Ledger:
    """The record of a stack's restore, and what writes it: one of two at once loses."""

    def __init__(self, stack: Stack) -> None:
        self._stack = stack
        self._lock = threading.Lock()
        self.me = secrets.token_hex(8)
        self._revision = 0
        self.found: Record | None = None

    def read(self) -> Record | None:
        """Read it; None if no restore is under way. Raises `UnreachableError` without etcd."""
        said = self._ask("record")
        self._revision = int(said["revision"])
        self.found = Record.model_validate(said["record"]) if said["record"] else None
        return self.found

    def must_be(self, ending: str) -> None:
        """Raise `RefusedError` if the restore is already ended in another way than `ending`.

        Parameters: `ending` is aborting, releasing, or nothing to go on with it.
        """
        record = self.get()
        if any(getattr(record, other) for other in {"aborting", "releasing"} - {ending}):
            raise RefusedError(
                f"{record.restore_id} is {record.state}; {how_to_go_on(record, self._stack.name)}."
            )

    def get(self) -> Record:
        """The record that was read or written last. Raises `RefusedError` if there is none."""
        if self.found is None:
            raise RefusedError(
                f"No restore of stack {self._stack.name} is under way; begin one with"
                f" {hints.command('restore cluster --to …', self._stack.name)}."
            )
        return self.found

    @contextmanager
    def held(self, begin: Record | None = None) -> Iterator[None]:
        """Hold the record while the block runs; the lease is renewed beside it.

        Parameters: `begin` is a new record. Raises `BusyError` if somebody else holds it.
        """
        with self._lock:
            there = self.read()
            if begin is not None and there is not None:
                raise BusyError(self._under_way(there))
            if begin is None:
                self._must_be_free(self.get())
            self._write(begin or self.get())
        stop = threading.Event()
        keeper = threading.Thread(target=self._keep, args=[stop], daemon=True)
        keeper.start()
        try:
            yield
        finally:
            stop.set()
            keeper.join()
            # What stopped us counts, and not that the lease runs out by itself.
            with self._lock, suppress(GuestcommsError):
                if self.found is not None:
                    self._write(self.found, held=False)

    def save(self, **changes: object) -> Record:
        """Note what is known or done now. Raises `BusyError` if somebody else holds it."""
        with self._lock:
            return self._write(self.get().model_copy(update=changes))

    def end(self) -> None:
        """Forget the restore: there is nothing to go on with, or back from."""
        with self._lock:
            self._say({"revision": self._revision, "record": None})
            self.found = None

    def _keep(self, stop: threading.Event) -> None:
        while not stop.wait(RENEW_SECONDS):
            with self._lock:
                if self.found is None:
                    return
                try:
                    self._write(self.found)
                except GuestcommsError:  # whoever writes next is told, and agents do not obey
                    return

    def _must_be_free(self, record: Record) -> None:
        until = record.lease_until
        if record.holder and until and until > datetime.now(UTC):
            raise BusyError(
                f"Somebody else goes on with {record.restore_id} (since {until - LEASE:%H:%M:%S}"
                f" UTC); if nobody does, its lease ends at {until:%H:%M:%S} UTC: try again then."
            )

    def _under_way(self, record: Record) -> str:
        return (
            f"{record.restore_id} to {record.target} is {record.state};"
            f" {how_to_go_on(record, self._stack.name)}."
        )

    def _write(self, record: Record, *, held: bool = True) -> Record:
        lease = {"holder": self.me, "lease_until": datetime.now(UTC) + LEASE}
        record = record.model_copy(update=lease if held else dict.fromkeys(lease))
        self._say({"revision": self._revision, "record": record.model_dump(mode="json")})
        self.found = record
        return record

    def _say(self, told: Mapping[str, object]) -> None:
        said = self._ask("write", told)
        if not said["written"]:
            # Our own write may have been interrupted before we heard of it.
            there = self._ask("record")
            if there["record"] and there["record"].get("holder") == self.me:
                said = self._ask("write", {**told, "revision": there["revision"]})
        if not said["written"]:
            raise BusyError("Somebody else goes on with this restore; nothing was written.")
        self._revision = int(said["revision"])

    def _ask(self, action: str, told: Mapping[str, object] | None = None) -> dict[str, Any]:
        """Through whichever database machine answers."""
        refused = ""
        for machine in self._stack.machines("database"):
            try:
                return agent(self._stack, machine, action, told=told)
            except GuestcommsError as error:
                refused = error.message
        raise UnreachableError(f"No database machine reaches etcd: {refused}")


def agent(
    stack: Stack,
    machine: str,
    action: str,
    restore_id: str | None = None,
    *,
    holder: str | None = None,
    told: Mapping[str, object] | None = None,
    timeout_seconds: float = 60,
) -> dict[str, Any]:
    """Let a machine's agent do a step; returns what it says. Raises as `node.capture`."""
    command = [health.AGENT, "restore-cluster", action]
    if action not in AS_ROOT:
        command = ["runuser", "-u", "postgres", "--", *command]
    if restore_id:
        command += ["--id", restore_id]
    if holder:
        command += ["--holder", holder]
    result = node.capture(
        stack,
        machine,
        command,
        todo=f"see {hints.command(f'logs {machine}', stack.name)}",
        stdin=None if told is None else json.dumps(told),
        timeout_seconds=timeout_seconds,
    )
    try:
        return dict(json.loads(result.stdout))
    except ValueError as error:
        raise UnreachableError(f"{machine} does not answer {action} with JSON.") from error
