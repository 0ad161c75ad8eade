"""A restore of the whole cluster, step by step: each is done once, may be done again, and is noted.

    begun     a record in etcd says what is wanted: nobody else begins another one
    copied    the drill machine has a copy at the target, proven; a person may look at it
    frozen    nothing is claimed any more, and workers have answered for what they had
    stopped   Patroni and PostgreSQL are stopped, standbys first: nothing is decided any more
    aside     the old data directories are moved aside
    facts     what was decided and sent after the target is read from the old data
    restored  one machine is restored by Patroni's bootstrap, ended where the copy ended, is frozen
    told      its schema is the present one, and it knows the facts
    whole     the standbys are made anew from it
    done      a full backup of the new timeline is in the store

Until the old data is let go of there is a way back (`undo`). What must not be done twice is noted
before it is done. What changes a machine its agent does, one thing at a time, and only for the
holder of the record.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from typing import Any

from guestcomms import backups, db, drills, health, hints, migrate, node, run
from guestcomms.errors import BusyError, GuestcommsError, UnhealthyError
from guestcomms.restore_plan import Plan, Position, furthest
from guestcomms.restore_record import Ledger, Record, agent
from guestcomms.stack import Stack

STOP_SECONDS = 900.0  # a shutdown checkpoint of much memory
ANSWER_SECONDS = 120.0
WORKERS_SECONDS = 30.0  # for workers to answer for what they had in hand
MARGIN = timedelta(hours=1)  # how much earlier than the target facts are taken: a long transaction
EVER = "1970-01-01 00:00:00+00"
POLL_SECONDS = 2.0
FROZEN_BY = "SELECT frozen AND starts_with(reason, %s) FROM internal.sending_state"

Tell = Callable[[str], None]


def new_record(plan: Plan, machines: Iterable[str]) -> Record:
    """The record of a restore that is planned and may begin."""
    return Record(
        restore_id=f"restore_{datetime.now(UTC):%Y%m%d_%H%M%S}",
        kind=plan.kind,
        value=plan.value,
        inclusive=plan.inclusive,
        lsn=plan.lsn,
        label=str(plan.backup),
        machine=plan.machine,
        machines=tuple(machines),
        reached_time=plan.target_time.isoformat() if plan.target_time else None,
    )


class Restore:
    """The steps of one restore; `tell` hears what goes on within one."""

    def __init__(self, stack: Stack, ledger: Ledger, tell: Tell, timeout_seconds: float) -> None:
        self._stack = stack
        self._ledger = ledger
        self._tell = tell
        self._timeout = timeout_seconds

    @property
    def _record(self) -> Record:
        return self._ledger.get()

    def copy(self) -> None:
        """Restore beside the cluster and prove the copy; it is kept to be looked at.

        Raises `UnhealthyError` if the copy is not what it must be.
        """
        record = self._record
        to = f"{record.kind}:{self._asked(record)}"
        with self._ops() as connection:
            drill = self._drill(connection)
            if drill is None:
                drill = drills.request(connection, to, inclusive=record.inclusive, keep=True)
                self._ledger.save(drill_id=drill.drill_id)
            drill = drills.wait(
                connection,
                drill,
                stack=self._stack.name,
                timeout_seconds=self._timeout,
                report=lambda seen: self._tell(f"{seen.drill_id}: {seen.step}"),
            )
        moment = drill.reached_time.isoformat() if drill.reached_time else record.reached_time
        self._ledger.save(
            step="copied", copy_lsn=drill.reached_lsn, reached_time=moment, label=drill.label
        )

    def without_copy(self) -> None:
        """Go on without one: there is no database that could be asked for it."""
        self._ledger.save(step="copied")

    def freeze(self) -> None:
        """Let nothing be claimed any more, and give workers time to answer for what they have."""
        try:
            with self._ops() as connection:
                reason = f"{self._record.restore_id} to {self._record.target}"
                self._ledger.save(freezing=True)
                connection.execute("SELECT public.freeze_sending(%s)", [reason])
                self._await_workers(connection)
        except (GuestcommsError, db.DatabaseError) as error:
            self._tell(f"the old cluster cannot be frozen ({db.first_line(error)}): it is stopped")
        self._ledger.save(step="frozen")

    def stop(self) -> None:
        """Stop Patroni, which stops PostgreSQL in order, on the standbys first."""
        if leader := self._leader():  # it may be another one by now
            self._ledger.save(machine=leader)
        self._stop_all()
        self._ledger.save(step="stopped", abandoned_at=datetime.now(UTC).isoformat())

    def aside(self) -> None:
        """Move the old data directories aside; the one that goes furthest has the facts.

        Raises `RefusedError` if it is not certain which one that is.
        """
        self._stop_all()  # again: somebody may have started one
        self._choose()
        for machine in self._machines:
            self._agent(machine, "aside", timeout=2 * STOP_SECONDS)
        self._ledger.save(step="aside")

    def facts(self) -> None:
        """Read what was decided and sent after the target from the old data."""
        record = self._record
        since = EVER
        if record.reached_time:
            moment = datetime.fromisoformat(record.reached_time).astimezone(UTC) - MARGIN
            since = f"{moment:%Y-%m-%d %H:%M:%S}+00"
        self._tell(f"reading protective facts since {since} from the old data")
        said = self._agent(record.machine, "export", {"since": since}, self._timeout)
        self._ledger.save(step="facts", facts=said["facts"], abandoned_timeline=said["timeline"])

    def restore(self) -> None:
        """Let Patroni make the cluster anew, from the backup to the target, on one machine.

        Raises `UnhealthyError` if it ended elsewhere than the copy, or is not frozen.
        """
        record = self._record
        machine = record.machine
        if self._reached() is None and not self._is_restoring():
            self._stop_all()
            self._agent(machine, "discard", timeout=STOP_SECONDS)
            self._agent(machine, "forget", timeout=ANSWER_SECONDS)
            wish = record.model_dump(include={"kind", "value", "inclusive", "lsn", "label"})
            self._agent(machine, "order", wish)
            self._start(machine)
        said = self._await_reached()
        if record.copy_lsn and said["lsn"] != record.copy_lsn:
            raise UnhealthyError(
                f"Recovery on {machine} ended at {said['lsn']} and not at {record.copy_lsn} as the"
                f" copy did; nothing is sent. Undo it with {self._hint('--abort')}."
            )
        if said["timeline"] <= (record.abandoned_timeline or 0) or not said["frozen"]:
            raise UnhealthyError(
                f"{machine} is on timeline {said['timeline']}, frozen: {said['frozen']}; that is no"
                f" restored cluster. Undo it with {self._hint('--abort')}."
            )
        self._agent(machine, "order", {})
        self._ledger.save(step="restored", reached_lsn=said["lsn"])

    def tell_facts(self) -> None:
        """Bring the schema up to date, and apply the facts."""
        record = self._record
        dsn = self._stack.dsn("migrator", direct=True)
        self._await_front_door(dsn)
        if pending := migrate.pending_migrations(dsn):
            self._tell(f"applying {len(pending)} migrations that are younger than the target")
            migrate.apply(dsn)
        row = {
            "restore_id": record.restore_id, "target_type": record.kind, "target": record.value,
            "inclusive": record.inclusive, "label": record.label,
            "reached_lsn": record.reached_lsn, "reached_time": record.reached_time,
            "abandoned_timeline": record.abandoned_timeline, "abandoned_at": record.abandoned_at,
        }  # fmt: skip
        said = self._agent(record.machine, "tell", row, self._timeout)
        self._ledger.save(step="told", facts=said["facts"])

    def standbys(self) -> None:
        """Start the other machines: they have no data, so Patroni makes it anew from the leader."""
        for machine in self._machines:
            if machine != self._record.machine:
                self._start(machine)
        self._await_healthy()
        self._ledger.save(step="whole")

    def backup(self) -> None:
        """Take a full backup of the new timeline."""
        with self._ops() as connection:
            backup = backups.request(connection, "full")
            backups.wait(
                connection,
                backup,
                stack=self._stack.name,
                timeout_seconds=self._timeout,
                report=lambda seen: self._tell(f"{seen.backup_id}: {seen.status}"),
            )
        self._ledger.save(step="done")

    def document(self) -> None:
        """Let the database that serves now keep the document of all this."""
        record = self._record
        told = {
            "verdict": "undone" if record.aborting else "restored",
            "restore_id": record.restore_id, "started_at": record.started_at.isoformat(),
            "stages": record.stages, "machines": record.machines,
            "target": {"type": record.kind, "value": record.value, "inclusive": record.inclusive},
            "label": record.label, "drill_id": record.drill_id, "reached_lsn": record.reached_lsn,
            "abandoned_timeline": record.abandoned_timeline, "facts": record.facts,
        }  # fmt: skip
        leader = health.ask(self._stack).leader or record.machine
        self._agent(leader, "document", told)

    def undo(self, without: Iterable[str] = ()) -> None:
        """Put the old data back, whatever was done: what the restored cluster took is lost.

        Parameters: `without` are machines that are gone; the record stays until they are back.
        Raises `RefusedError` if the old data is being deleted already.
        """
        self._ledger.must_be("aborting")
        record = self._ledger.save(aborting=True, without=tuple(without))
        if record.has_done("frozen"):  # Patroni may be stopped on some of them
            if record.leads and record.machine not in self._machines and not self._leader():
                self._ledger.save(leads=False)  # what was to lead is gone, and nobody follows it
            if not self._record.leads:
                self._stop_all()
            for machine in self._standbys_first():
                if machine not in self._record.placed:
                    self._put_back(machine)
            self._lead_again()
            for machine in self._machines:
                self._start(machine)
            self._await_healthy()
        self._thaw()
        try:
            self.document()
        except GuestcommsError as error:  # the old data is back, and that is what counts
            self._tell(f"the database keeps no document of it: {error.message}")
        self._release_copy()
        for machine in self._machines:
            self._agent(machine, "clean", timeout=STOP_SECONDS)
        if not record.without:
            self._ledger.end()

    def release(self) -> None:
        """Delete the old data and the facts on every machine: there is no way back then.

        Raises `RefusedError` if the restore is being undone.
        """
        self._ledger.must_be("releasing")
        self._ledger.save(releasing=True)
        for machine in self._machines:
            self._tell(f"deleting the old data on {machine}")
            self._agent(machine, "clean", timeout=STOP_SECONDS)
        self._release_copy()
        self._ledger.end()

    def _put_back(self, machine: str) -> None:
        """Put a machine's old data in its place."""
        self._agent(machine, "stop", timeout=STOP_SECONDS + ANSWER_SECONDS)
        self._agent(machine, "back", timeout=self._timeout)
        self._ledger.save(placed=(*self._record.placed, machine))

    def _lead_again(self) -> None:
        """Start the old data that goes furthest; it is never stopped again by us."""
        # Before, Patroni's store knows the cluster still, and who may lead: Patroni does it alone.
        was_forgotten = self._record.has_done("facts")
        if was_forgotten and not self._record.leads:
            if self._record.machine not in self._machines:
                self._choose()
            machine = self._record.machine
            self._tell(f"the old data on {machine} begins a timeline of its own")
            self._agent(machine, "fork", timeout=self._timeout)
            self._agent(machine, "forget", timeout=ANSWER_SECONDS)
        self._ledger.save(leads=True)
        if self._record.machine in self._machines:
            self._start(self._record.machine)
        if was_forgotten:  # the others would lead with what they have
            self._await_leader()

    def _thaw(self) -> None:
        """End our own freezing of the old database, and nobody else's."""
        if not self._record.freezing:
            return
        try:
            self._await_front_door(self._stack.dsn("ops"))
            with self._ops() as connection:
                if db.one_value(connection, FROZEN_BY, [f"{self._record.restore_id} "]):
                    connection.execute("SELECT public.thaw_sending()")
        except (GuestcommsError, db.DatabaseError) as error:
            raise GuestcommsError(
                f"The old data is back, but sending is still frozen ({db.first_line(error)}); go on"
                f" with {self._hint('--abort')}."
            ) from error

    def _await_front_door(self, dsn: str) -> None:
        db.wait(
            dsn,
            application_name="guestcomms restore",
            timeout_seconds=ANSWER_SECONDS,
            todo=f"look with {hints.command('status', self._stack.name)}",
            report=lambda reason: self._tell(f"waiting for the front door: {reason}"),
        )

    def _release_copy(self) -> None:
        """Let go of the copy beside the cluster, where the database still knows of it."""
        if self._record.drill_id:
            with suppress(GuestcommsError, db.DatabaseError), self._ops() as connection:
                drills.release(connection, self._record.drill_id)

    def _drill(self, connection: db.Connection) -> drills.Drill | None:
        """The copy of an earlier call, unless nothing came of it."""
        if self._record.drill_id is None:
            return None
        drill = drills.find(connection, self._record.drill_id, self._stack.name)
        return drill if drill.verdict == "proven" or not drill.ended else None

    def _asked(self, record: Record) -> str:
        """The target as `restore drill --to` takes it: a point goes by its id there."""
        if record.kind != "name":
            return record.value
        with self._ops() as connection:
            found = db.one_value(
                connection,
                "SELECT recovery_point_id FROM public.communication_recovery_points"
                " WHERE restore_point_name = %s",
                [record.value],
            )
        return str(found)

    def _await_workers(self, connection: db.Connection) -> None:
        query = "SELECT count(*) FROM public.communication_batch_queue WHERE state = 'leased'"
        give_up = time.monotonic() + WORKERS_SECONDS
        while time.monotonic() < give_up:
            left = int(db.one_value(connection, query))
            if left == 0:
                return
            self._tell(f"{left} chunks are still in the hands of workers")
            time.sleep(POLL_SECONDS)

    def _await_reached(self) -> dict[str, Any]:
        give_up = time.monotonic() + self._timeout
        machine = self._record.machine
        while (said := self._reached()) is None:
            self._tell(f"{machine} is being restored")
            refused = node.capture(
                self._stack, machine, ["cat", "/var/lib/guestcomms/refused"],
                todo="", check=False,
            )  # fmt: skip
            if refused.exit_code == 0:
                raise GuestcommsError(
                    f"{machine} could not be restored: {refused.stdout.strip()} Mend it and go on"
                    f" with {self._hint('--resume')}, or undo it with {self._hint('--abort')}."
                )
            if time.monotonic() > give_up:
                raise GuestcommsError(
                    f"{machine} is not restored after {self._timeout:g} s; it goes on: look with"
                    f" {hints.command(f'logs {machine} --unit patroni', self._stack.name)}, then"
                    f" {self._hint('--resume')}."
                )
            time.sleep(POLL_SECONDS)
        return said

    def _is_restoring(self) -> bool:
        """Whether Patroni is at it, from an earlier call of ours, and has not been refused."""
        at_it = "systemctl -q is-active patroni && test -e {0}/restore.json -a ! -e {0}/refused"
        command = ["sh", "-c", at_it.format("/var/lib/guestcomms")]
        asked = node.capture(self._stack, self._record.machine, command, todo="", check=False)
        return asked.exit_code == 0

    def _reached(self) -> dict[str, Any] | None:
        """Where recovery ended, once this machine leads a cluster; None before."""
        with suppress(GuestcommsError):
            # First the leader: what recovery ended with is not frozen yet before there is one.
            if health.ask(self._stack).leader == self._record.machine:
                return self._agent(self._record.machine, "reached")
        return None

    def _await_healthy(self) -> None:
        """Wait until one machine leads and all the others stream from it."""
        give_up = time.monotonic() + self._timeout
        wanted = len(self._machines) - 1
        seen = "no answer"
        while time.monotonic() < give_up:
            with suppress(GuestcommsError):
                cluster = health.ask(self._stack)
                streaming = [one for one in cluster.replication if one.state == "streaming"]
                if cluster.leader and len(streaming) == wanted:
                    return
                seen = f"leader {cluster.leader}, {len(streaming)} of {wanted} standbys stream"
                self._tell(seen)
            time.sleep(POLL_SECONDS)
        raise GuestcommsError(
            f"The cluster is not whole after {self._timeout:g} s ({seen}); look with"
            f" {hints.command('status', self._stack.name)}, then {self._again}."
        )

    def _leader(self) -> str | None:
        """The machine that leads now; None if nobody does, or nobody says so."""
        with suppress(GuestcommsError):
            return health.ask(self._stack).leader
        return None

    def _await_leader(self) -> None:
        give_up = time.monotonic() + self._timeout
        while self._leader() is None:
            if time.monotonic() > give_up:
                machine = self._record.machine
                raise GuestcommsError(
                    f"{machine} does not lead after {self._timeout:g} s; look with"
                    f" {hints.command(f'logs {machine} --unit patroni', self._stack.name)}, then"
                    f" {self._again} again."
                )
            time.sleep(POLL_SECONDS)

    @property
    def _machines(self) -> list[str]:
        """The machines there are: others left the stack, or somebody said that they are gone."""
        record, there = self._record, self._stack.machines("database")
        return [one for one in record.machines if one in there and one not in record.without]

    def _standbys_first(self) -> list[str]:
        return sorted(self._machines, key=lambda name: name == self._record.machine)

    def _stop_all(self) -> None:
        for machine in self._standbys_first():
            self._tell(f"stopping {machine}")
            self._agent(machine, "stop", timeout=STOP_SECONDS + ANSWER_SECONDS)

    def _start(self, machine: str) -> None:
        self._agent(machine, "start", timeout=STOP_SECONDS + ANSWER_SECONDS)

    def _choose(self) -> None:
        """Find out whose old data goes furthest, now that nothing writes to it any more."""
        seen = {
            machine: Position.model_validate(
                self._agent(machine, "settle", timeout=2 * STOP_SECONDS)
            )
            for machine in self._machines
        }
        self._ledger.save(machine=furthest(seen, surely=not self._record.without))

    def _agent(
        self,
        machine: str,
        action: str,
        told: dict[str, Any] | None = None,
        timeout: float = ANSWER_SECONDS,
    ) -> dict[str, Any]:
        """Let a machine's agent do a step, once none of an earlier call is under way there."""
        give_up = time.monotonic() + timeout
        while True:
            try:
                said = agent(
                    self._stack,
                    machine,
                    action,
                    self._record.restore_id,
                    holder=self._ledger.me,
                    told=told,
                    timeout_seconds=timeout,
                )
            except run.CommandError as error:
                raise GuestcommsError(f"{error.message} {self._then(machine)}") from error
            if not said.get("busy"):
                return said
            if time.monotonic() > give_up:
                raise BusyError(f"{machine} still does an earlier step; later, {self._again}.")
            self._tell(f"{machine} still does an earlier step")
            time.sleep(POLL_SECONDS)

    def _then(self, machine: str) -> str:
        """What to do after a machine could not do its step."""
        gone = self._hint(f"--abort --without {machine}")
        if self._record.aborting:
            return f"Then {self._again} again; if {machine} is gone for good, {gone}."
        return f"Then {self._again}."

    @property
    def _again(self) -> str:
        """How to go on after an error, for a sentence."""
        record = self._record
        if record.releasing:
            return hints.command(f"restore release {record.restore_id}", self._stack.name)
        return self._hint("--abort" if record.aborting else "--resume")

    def _ops(self) -> db.Connection:
        return db.connect(
            self._stack.dsn("ops"), application_name="guestcomms restore", autocommit=True
        )

    def _hint(self, option: str) -> str:
        return hints.command(f"restore cluster {option}", self._stack.name)
