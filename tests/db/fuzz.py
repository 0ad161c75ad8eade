"""sqlsmith as a login of the application: the server lives, and no other tenant's row comes out.

`python -m tests.db.fuzz --seconds 300` starts a server with two organizations, binds the login to
one, and lets sqlsmith (package of Debian) send random queries on everything it finds. They go
through a relay that reads every answer, so that what came back is judged, not what should have.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import closing, contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from guestcomms import db

from tests.db import script
from tests.db.server import Database, bootstrapped_server
from tests.db.test_isolation import OURS, THEIRS, copy_to_theirs, tables

CRASHES = ("PANIC", "terminated by signal", "TRAP:", "could not fork", "stack smashing")
SETTINGS = {"log_min_messages": "warning", "log_min_error_statement": "panic"}
TIMEOUT_MS = 1000
CANARY = THEIRS.encode()


@dataclass
class Relay:
    """Passes bytes between clients and the server, and reads what the server says."""

    server: tuple[str, int]
    ends: Counter[str] = field(default_factory=Counter)
    """How statements ended: a command's name, or the SQLSTATE of an error."""
    internal_errors: Counter[str] = field(default_factory=Counter)
    """Messages of errors that should not happen (XX000): PostgreSQL's own, or ours."""
    rows: int = 0
    leaks: list[bytes] = field(default_factory=list)
    """Answers with the other organization's id in them."""

    @contextmanager
    def running(self) -> Iterator[int]:
        """The port to connect to."""
        with socket.create_server(("127.0.0.1", 0)) as door:
            threading.Thread(target=self._serve, args=(door,), daemon=True).start()
            yield door.getsockname()[1]

    def _serve(self, door: socket.socket) -> None:
        with suppress(OSError):  # the door was closed: the end
            while True:
                client, _ = door.accept()
                upstream = socket.create_connection(self.server)
                for end in (client, upstream):
                    end.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                for target, pair in (
                    (self._ask, (client, upstream)),
                    (self._answer, (upstream, client)),
                ):
                    threading.Thread(target=target, args=pair, daemon=True).start()

    @staticmethod
    def _ask(client: socket.socket, upstream: socket.socket) -> None:
        with suppress(OSError):
            while data := client.recv(65536):
                upstream.sendall(data)
            upstream.shutdown(socket.SHUT_WR)

    def _answer(self, upstream: socket.socket, client: socket.socket) -> None:
        with suppress(OSError), closing(client), upstream.makefile("rb") as stream:
            while head := stream.read(5):
                body = stream.read(int.from_bytes(head[1:]) - 4)
                self._judge(head[:1], body)
                client.sendall(head + body)

    def _judge(self, kind: bytes, body: bytes) -> None:
        if kind == b"E":
            fields = {part[:1]: part[1:] for part in body.split(b"\0") if part}
            self.ends[fields[b"C"].decode()] += 1
            if fields[b"C"].startswith(b"XX"):
                self.internal_errors[fields[b"M"].decode(errors="replace")] += 1
        elif kind == b"C":
            self.ends[body.split()[0].rstrip(b"\0").decode()] += 1
        self.rows += kind == b"D"
        if kind in {b"D", b"E", b"N"} and CANARY in body:
            self.leaks.append(body[:300])


def prepare(database: Database) -> None:
    """Two organizations with rows in every tenant table; the login is bound to the first."""
    script.run(database)
    with database.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO public.organizations (organization_id, name) VALUES (%s, 'Theirs')",
            (THEIRS,),
        )
        for table in tables(database):
            copy_to_theirs(connection, table)


def theirs(database: Database) -> dict[str, str]:
    """The other organization's rows, as a checksum a table."""
    with database.connect() as connection:
        return {
            table: str(
                db.one_value(
                    connection,
                    db.sql.SQL(
                        "SELECT count(*) || ' ' || coalesce(md5(string_agg(one::text, ''"
                        " ORDER BY one::text)), '') FROM {} AS one WHERE organization_id = {}"
                    ).format(db.sql.SQL(table), db.sql.Literal(THEIRS)),
                )
            )
            for table in tables(database)
        }


def relay_sees_a_leak(database: Database) -> bool:
    """Whether the judge works: a superuser gets to see the other organization."""
    relay = Relay((database.server.host, database.server.port))
    with relay.running() as port:
        dsn = f"host=127.0.0.1 port={port} dbname={database.name} user=postgres {PLAIN}"
        with db.connect(dsn, application_name="tests") as connection:
            connection.execute("SELECT * FROM public.organizations")
    return bool(relay.leaks)


PLAIN = "sslmode=disable gssencmode=disable"


def smith(database: Database, seconds: float, seed: int) -> Relay:
    """Run sqlsmith for a while, again after it ended by itself."""
    relay = Relay((database.server.host, database.server.port))
    # The setting alone, as anybody can make it: it counts because the login is bound.
    options = f"-c app.organization_id={OURS} -c statement_timeout={TIMEOUT_MS}"
    deadline = time.monotonic() + seconds
    with relay.running() as port, tempfile.TemporaryFile() as output:
        while (left := deadline - time.monotonic()) > 1:
            target = f"host=127.0.0.1 port={port} dbname={database.name} user=wedsync_app {PLAIN}"
            with suppress(subprocess.TimeoutExpired):
                subprocess.run(
                    ["sqlsmith", f"--target={target}", f"--seed={seed}"],
                    env={**os.environ, "PGOPTIONS": options},
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    timeout=left,
                    check=False,
                )
            seed += 1
            time.sleep(0.2)
    return relay


def run(database: Database, seconds: float, seed: int) -> tuple[dict[str, Any], list[str]]:
    """Figures of a run, and everything that should not be."""
    prepare(database)
    before = theirs(database)
    wrong = [] if relay_sees_a_leak(database) else ["the relay would not see a leak"]
    relay = smith(database, seconds, seed)
    after = theirs(database)
    logs = subprocess.run(
        ["docker", "logs", database.server.container],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        errors="replace",
        check=True,
    ).stdout
    wrong += [line for line in logs.splitlines() if any(sign in line for sign in CRASHES)]
    wrong += [f"{table} of the other changed" for table in before if before[table] != after[table]]
    wrong += [f"an answer had the other's id: {leak!r}" for leak in relay.leaks]
    wrong += [] if relay.ends else ["sqlsmith sent nothing"]
    ends = {
        end: count
        for end, count in relay.ends.most_common()
        if end not in {"BEGIN", "ROLLBACK", "SET"}
    }
    return {
        "statements": sum(ends.values()),
        "rows": relay.rows,
        "ends": ends,
        "internal_errors": relay.internal_errors,
        "tables_unchanged": len(before),
    }, wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seconds", type=float, default=300)
    parser.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    if not shutil.which("sqlsmith"):
        print("sqlsmith is not installed: apt-get install sqlsmith, then run this again.")  # noqa: T201
        return 2
    with bootstrapped_server(SETTINGS) as server:
        database = server.clone("template_full", "fuzz")
        figures, wrong = run(database, given.seconds, given.seed)
    print(json.dumps({**figures, "violations": wrong[:20]}, indent=2))  # noqa: T201
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
