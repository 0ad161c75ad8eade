"""Restored copies of the database, beside the cluster and cut off from it.

A copy has no network, its own socket and its own rules of who may come in; it archives nothing,
loads none of the libraries that start jobs by themselves, and changes nothing by default. It is a
directory that is deleted when nobody wants it any more.

No exit status proves a restore: pgBackRest ends with 0 where WAL is missing, and PostgreSQL starts
before it knows whether it will reach its target. What counts is that the copy has promoted itself,
and where its new timeline began.
"""

import logging
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import IO, Any

import psycopg
from psycopg.conninfo import make_conninfo

from infra.agent import checks, paths, pgbackrest
from infra.agent.errors import AgentError
from infra.agent.run import one_line, run

PORT = 5432
READER = "guestcomms_cron"
"""Login that sees the tables of every tenant and is no superuser; it has no password."""
POLL = 0.2  # seconds between two looks at a program that runs
STOP_TIMEOUT = 60.0
END_TIMEOUT = 5.0  # seconds for a program to end by itself once it is told to
SPARE_BYTES = 512 * 1024**2  # for WAL and temporary files beside the database itself

Heartbeat = Callable[[], None]

log = logging.getLogger(__name__)


class RestoreError(AgentError):
    """pgBackRest could not restore; `may_pass` says whether another attempt makes sense."""

    def __init__(self, message: str, *, may_pass: bool) -> None:
        super().__init__(message)
        self.may_pass = may_pass


class RecoveryError(AgentError):
    """The restored database did not come to its target; `may_pass`: the store did not answer it."""

    def __init__(self, message: str, *, may_pass: bool = False) -> None:
        super().__init__(message)
        self.may_pass = may_pass


@dataclass(frozen=True)
class Target:
    """Where recovery is to stop, in pgBackRest's words: `kind` is name, time, lsn or xid."""

    kind: str
    value: str
    inclusive: bool = True

    def options(self) -> tuple[str, ...]:
        """Return pgBackRest's options for it."""
        exclusive = () if self.inclusive else ("--target-exclusive",)
        return (f"--type={self.kind}", f"--target={self.value}", *exclusive)


@dataclass(frozen=True)
class Reached:
    """Where recovery ended: position, why there, and when the last transaction had committed."""

    lsn: str
    reason: str
    time: datetime | None


class Copy:
    """A restored copy by its name, whether it exists already or not."""

    def __init__(self, name: str, stanza: str, database: str, root: Path = paths.COPIES) -> None:
        self.name = name
        self._stanza = stanza
        self._database = database
        self._root = root
        self._home = root / name
        self._data = self._home / "data"
        self._log = self._home / "log"
        self._server: subprocess.Popen[bytes] | None = None

    @classmethod
    def over(cls, data: Path, name: str, stanza: str, database: str, root: Path) -> "Copy":
        """A database cut off like a copy over a data directory that is there, and that it changes.

        `destroy` leaves the data directory alone.
        """
        copy = cls(name, stanza, database, root)
        copy._data = data
        copy._home.mkdir(mode=0o700, parents=True, exist_ok=True)
        copy._write_rules()
        return copy

    def has_room(self, size: int) -> tuple[bool, int]:
        """Whether a database of `size` bytes fits beside what is here, and the bytes free."""
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        free = shutil.disk_usage(self._root).free
        return free > size + size // 10 + SPARE_BYTES, free

    def restore(self, label: str, target: Target, heartbeat: Heartbeat) -> float:
        """Restore backup `label`, set to recover to `target`; return pgBackRest's seconds.

        Raises:
            RestoreError: it failed, with its reason.
        """
        self.destroy()
        self._data.mkdir(mode=0o700, parents=True)
        self._home.chmod(0o700)
        self._write_rules()
        options = (
            f"--set={label}",
            *target.options(),
            "--target-action=promote",
            "--archive-mode=off",
            "--no-delta",
            f"--pg1-path={self._data}",
        )
        began = time.monotonic()
        status, said = watched(
            pgbackrest.command("restore", self._stanza, *options), heartbeat, self._home / "restore"
        )
        if status != 0:
            raise RestoreError(
                f"pgbackrest restore ended with status {status}: {pgbackrest.reason(said)}",
                may_pass=pgbackrest.may_pass(status),
            )
        return time.monotonic() - began

    def start(self, **settings: str) -> None:
        """Let PostgreSQL begin; `settings` go before its own; `wait` tells when it is open."""
        wanted = {**self._settings(), **settings}
        options = [part for key, value in wanted.items() for part in _set(key, value)]
        with self._log.open("ab") as journal:
            self._server = subprocess.Popen(
                [str(paths.POSTGRESQL_PROGRAMS / "postgres"), "-D", str(self._data), *options],
                stdin=subprocess.DEVNULL,
                stdout=journal,
                stderr=journal,
            )

    def wait(self, heartbeat: Heartbeat) -> None:
        """Wait until recovery has ended and the copy is open.

        Raises:
            RecoveryError: PostgreSQL gave up; with what it said.
        """
        while not self.is_open():
            if not self.runs():
                said = self._log.read_text(errors="replace")
                if pgbackrest.store_was_away(said):
                    raise RecoveryError(
                        f"the store gave the copy no WAL: {pgbackrest.complaint(said)}",
                        may_pass=True,
                    )
                raise RecoveryError(f"the copy did not come to its target: {_last_words(said)}")
            heartbeat()
            time.sleep(POLL)

    def runs(self) -> bool:
        """Whether its PostgreSQL, started here, is still there."""
        return self._server is not None and self._server.poll() is None

    def is_open(self) -> bool:
        """Whether it answers, and recovers no more."""
        try:
            with self.connect() as connection:
                row = connection.execute("SELECT pg_catalog.pg_is_in_recovery()").fetchone()
        except psycopg.Error:
            return False
        return row == (False,)

    def connect(self, login: str = "postgres") -> psycopg.Connection[tuple[Any, ...]]:
        """Open a session, as superuser or as `READER`.

        Raises:
            psycopg.Error: it is not open.
        """
        return psycopg.connect(
            make_conninfo(
                host=str(self._home),
                port=PORT,
                user=login,
                dbname=self._database,
                application_name="guestcomms drill",
                connect_timeout=5,
            ),
            autocommit=True,
        )

    def reached(self) -> Reached:
        """Say where recovery ended, as the history of the copy's own timeline has it.

        Raises:
            RecoveryError: it has none: it never recovered to a target.
        """
        with self.connect() as connection:
            row = connection.execute(
                "SELECT pg_catalog.left(pg_catalog.pg_walfile_name("
                "pg_catalog.pg_current_wal_insert_lsn()), 8),"
                " pg_catalog.pg_last_xact_replay_timestamp()"
            ).fetchone()
        timeline, last = row or ("", None)
        history = self._data / "pg_wal" / f"{timeline}.history"
        try:
            lines = [line for line in history.read_text().splitlines() if line.strip()]
        except OSError as error:
            raise RecoveryError(f"the copy has no timeline of its own: {error}") from error
        _parent, lsn, reason = lines[-1].split("\t", 2)
        return Reached(checks.text(lsn, history.name, pgbackrest.LSN), reason, last)

    def is_cut_off(self) -> list[str]:
        """Return what would let the copy reach anything but its own socket; nothing is right."""
        wanted = {
            "archive_mode": "off",
            "listen_addresses": "",
            "shared_preload_libraries": "",
            "primary_conninfo": "",
        }
        with self.connect() as connection:
            shown = {name: connection.execute(f"SHOW {name}").fetchone() for name in wanted}
        return [f"{name} is {shown[name]}" for name in wanted if shown[name] != (wanted[name],)]

    def check_pages(self, heartbeat: Heartbeat) -> str:
        """Check every table and index against itself; return what is wrong, nothing if all is well.

        Source: https://www.postgresql.org/docs/17/app-pgamcheck.html
        """
        status, said = watched(
            [
                str(paths.POSTGRESQL_PROGRAMS / "pg_amcheck"),
                f"--host={self._home}",
                f"--port={PORT}",
                "--username=postgres",
                "--heapallindexed",
                "--rootdescend",
                "--checkunique",
                self._database,
            ],
            heartbeat,
            self._home / "amcheck",
        )
        return said.strip() or ("" if status == 0 else f"pg_amcheck ended with status {status}")

    def definition_of(self, table: str, heartbeat: Heartbeat) -> str:
        """Return the SQL that makes a table as it was, with its partitions, indexes and rights.

        Raises:
            RecoveryError: pg_dump cannot.
        """
        status, said = watched(
            [
                str(paths.POSTGRESQL_PROGRAMS / "pg_dump"),
                f"--host={self._home}",
                f"--port={PORT}",
                "--username=postgres",
                "--schema-only",
                f"--table-and-children={table}",
                self._database,
            ],
            heartbeat,
            self._home / "definition",
        )
        if status != 0:
            raise RecoveryError(f"pg_dump ended with status {status}: {one_line(said)}")
        # Commands of psql, which begin with a backslash, and comments are left out.
        lines = [line for line in said.splitlines() if not line.startswith(("\\", "--"))]
        return re.sub(r"\n{2,}", "\n\n", "\n".join(lines)).strip()

    def halt(self) -> None:
        """Stop it if it runs, whoever started it."""
        if (self._data / "postmaster.pid").exists():
            stop = ["stop", "-D", str(self._data), "-m", "fast", "-w"]
            run([str(paths.POSTGRESQL_PROGRAMS / "pg_ctl"), *stop], timeout=STOP_TIMEOUT)
        if self._server is not None:
            if self._server.poll() is None:
                self._server.kill()
            self._server.wait()
            self._server = None

    def destroy(self) -> None:
        """Stop it if it runs, and delete it."""
        self.halt()
        if self._home.exists():
            shutil.rmtree(self._home)
            log.info("copy %s is destroyed", self.name)

    def _write_rules(self) -> None:
        """Who may come in, through the copy's own socket."""
        (self._home / "hba.conf").write_text(f"local all postgres,{READER} peer map=copy\n")
        (self._home / "ident.conf").write_text(f"copy postgres postgres\ncopy postgres {READER}\n")

    def _settings(self) -> Mapping[str, str]:
        # PostgreSQL takes any failure of it for the end of the log: what it says is all there is.
        get = (
            f"pgbackrest --stanza={self._stanza} --pg1-path={self._data} --no-archive-async"
            " --log-level-console=off --log-level-stderr=warn"
        )
        return {
            "port": str(PORT),
            "listen_addresses": "",
            "unix_socket_directories": str(self._home),
            "hba_file": str(self._home / "hba.conf"),
            "ident_file": str(self._home / "ident.conf"),
            "external_pid_file": "",
            "ssl": "off",
            "archive_mode": "off",
            "primary_conninfo": "",
            "synchronous_standby_names": "",
            "restore_command": f'{get} archive-get %f "%p"',
            # pg_cron among them: nothing that works by itself.
            "shared_preload_libraries": "",
            "default_transaction_read_only": "on",
            "autovacuum": "off",
            # A hot standby would pause where the cluster once raised max_connections.
            "hot_standby": "off",
            "max_connections": "20",
            "shared_buffers": "64MB",
            "huge_pages": "off",
        }


def _last_words(said: str) -> str:
    """What PostgreSQL said last: its FATAL if there is one."""
    lines = said.splitlines()
    fatal = [line for line in lines if "FATAL" in line or "PANIC" in line]
    return one_line(" ".join(fatal[-2:] or lines[-3:]))


def watched(command: list[str], heartbeat: Heartbeat, output: Path) -> tuple[int, str]:
    """Run `command` while the heart beats; return its exit status and all it said.

    When the heartbeat raises, the program is ended first, with all that it started: workers of
    pgBackRest go on writing for a moment when their parent is killed.
    """
    with output.open("w+b") as said:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=said,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            while process.poll() is None:
                heartbeat()
                time.sleep(POLL)
        finally:
            if process.poll() is None:
                _end(process)
        return process.returncode, _read(said)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End a program that leads a session of its own, and whatever it started."""
    os.killpg(process.pid, signal.SIGTERM)
    with suppress(subprocess.TimeoutExpired):
        process.wait(END_TIMEOUT)
    with suppress(ProcessLookupError):  # nobody is left
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _read(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read().decode(errors="replace")


def _set(name: str, value: str) -> tuple[str, str]:
    return "-c", f"{name}={value}"
