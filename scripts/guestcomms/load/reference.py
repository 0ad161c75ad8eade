"""What the machine gives at most: the same mix and `pgbench -N`, both by pgbench, in turns.

Both use prepared statements, the same number of clients and the same way in, so the ratio says
what our functions cost beyond the simplest transaction, whatever the machine is.
"""

from __future__ import annotations

import json
import re
import statistics
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

from guestcomms import db, run
from guestcomms.errors import GuestcommsError
from guestcomms.load.data import Data
from guestcomms.load.plan import CLOSED_CALLS_PER_SECOND, FOLDER, Catalogue
from guestcomms.load.result import Reference
from guestcomms.load.target import Target

INSTALL = "install it (on Debian: apt-get install postgresql-contrib)"
SCALE = 10
"""pgbench's: 100,000 accounts each. -N leaves the branches alone, so this only sets how large the
table is: it fits into the buffers of the smallest machine, as the mix's rows do."""
SHORT = 10.0
"""Seconds of the round that only warms up."""
TABLES = (
    "public.load_calls, public.load_pages, public.load_reports, public.load_accounts,"
    " public.load_history"
)

_CREATE = f"""
SET ROLE comms_owner;
DROP TABLE IF EXISTS {TABLES};
DROP SEQUENCE IF EXISTS public.load_number;
CREATE SEQUENCE public.load_number CACHE 1;
CREATE TABLE public.load_calls (
    number bigint PRIMARY KEY, organization uuid, communication uuid, guests uuid[]
);
CREATE TABLE public.load_pages (
    number bigint PRIMARY KEY, organization uuid, communication uuid, after uuid
);
CREATE TABLE public.load_reports (
    number bigint PRIMARY KEY, organization uuid, name text, template uuid, recipients uuid[]
);
CREATE TABLE public.load_accounts (aid int, bid int, abalance int, filler character(84))
WITH (fillfactor = 100);
INSERT INTO public.load_accounts
SELECT aid, (aid - 1) / 100000 + 1, 0, '' FROM generate_series(1, 100000 * {SCALE}) AS aid;
ALTER TABLE public.load_accounts ADD PRIMARY KEY (aid);
CREATE TABLE public.load_history (
    tid int, bid int, aid int, delta int, mtime timestamp, filler character(22)
);
GRANT SELECT, INSERT, UPDATE ON {TABLES} TO comms_app;
GRANT USAGE ON SEQUENCE public.load_number TO comms_app;
"""  # noqa: S608 - constants
_DROP = f"""
SET ROLE comms_owner;
DROP TABLE IF EXISTS {TABLES};
DROP SEQUENCE IF EXISTS public.load_number;
"""

Say = Callable[[str], None]


def measure(
    target: Target,
    found: Catalogue,
    made: Data,
    folder: Path,
    *,
    clients: int,
    seconds: float,
    rounds: int,
    say: Say,
) -> Reference:
    """Run both in turns, after a short round unmeasured.

    Parameters: `made` has slices for bulk_send; `seconds` of each turn, connecting excluded, of
    which the second half counts: in the first, clients still prepare their statements.
    Raises `GuestcommsError` if a call fails: pgbench goes on without a client that failed, so the
    figure would be of another number of clients.
    """
    result = Reference(clients=clients, seconds=seconds, mix=[], plain=[])
    with _tables(target, made, say):
        scripts = {
            "mix": [
                f"--file={_script(folder, name, made)}@{weight}"
                for name, weight in found.weights.items()
            ],
            "plain": [f"--file={_script(folder, 'plain', made)}"],
        }
        for number in range(rounds + 1):
            for name in ("mix", "plain") if number % 2 else ("plain", "mix"):
                say(f"pgbench, round {number} of {rounds}: {name} …")
                said = _pgbench(target, scripts[name], clients, seconds if number else SHORT)
                if number:
                    getattr(result, name).append(steady(said))
    if max(result.mix) > CLOSED_CALLS_PER_SECOND:
        raise GuestcommsError(
            f"The mix made {max(result.mix):.0f} calls/s, and fresh recipients were there for"
            f" {CLOSED_CALLS_PER_SECOND}: calls were repeats, which cost less; raise"
            " CLOSED_CALLS_PER_SECOND in scripts/guestcomms/load/plan.py."
        )
    return result


def must_be_installed() -> None:
    """Raise `RefusedError` if there is no pgbench."""
    run.capture(["pgbench", "--version"], todo=INSTALL, install=INSTALL)


def _pgbench(target: Target, scripts: list[str], clients: int, seconds: float) -> str:
    """What pgbench says of its progress. Raises as `measure`."""
    # A thread for each client: pgbench prepares with calls that block their thread, and one that
    # waits for a connection of the pool must not keep those from going on that hold them all.
    # As many open files as we may have: each client is one.
    files = 'ulimit -S -n "$(ulimit -H -n)"; exec "$@"'
    command = [
        "sh", "-c", files, "sh", "pgbench", "--no-vacuum", "--protocol=prepared",
        f"--client={clients}", f"--jobs={clients}", f"--time={seconds:.0f}", "--progress=1",
        *scripts,
    ]  # fmt: skip
    done = run.capture(
        command, todo="look at the front door", install=INSTALL, env=db.environment(target.app),
        timeout_seconds=seconds + 300,
    )  # fmt: skip
    if re.search(r"aborted|error:", done.stderr):
        said = [line for line in done.stderr.splitlines() if not line.startswith("progress:")]
        raise GuestcommsError(f"pgbench lost clients: {' | '.join(said[-3:])[:500]}")
    return done.stderr


def steady(said: str) -> float:
    """Transactions a second in the second half of a run, by pgbench's lines of progress.

    Raises `GuestcommsError` if it did nothing then.
    """
    shown = re.findall(r"^progress: [0-9.]+ s, ([0-9.]+) tps", said, re.MULTILINE)
    each = [float(one) for one in shown]
    half = each[len(each) // 2 :]
    if not sum(half):
        raise GuestcommsError("pgbench's clients only connected in their time; give them more")
    return statistics.mean(half)


def _script(folder: Path, name: str, made: Data) -> Path:
    """One of loadtest/scenarios/*.pgbench with what is known only now."""
    text = (FOLDER / f"{name}.pgbench").read_text("utf-8")
    counts: Mapping[str, object] = {
        "@slices@": len(made.slices), "@accounts@": 100_000 * SCALE, "@scale@": SCALE,
        "@pages@": len(made.page_rows()), "@reports@": len(made.report_rows()),
    }  # fmt: skip
    for mark, value in counts.items():
        text = text.replace(mark, str(value))
    path = folder / f"{name}.pgbench"
    path.write_text(text, "utf-8")
    return path


@contextmanager
def _tables(target: Target, made: Data, say: Say) -> Iterator[None]:
    """Tables that only this needs, in the schema of the functions; gone afterwards."""
    say("Tables for pgbench …")
    with target.connect("owner") as owner:
        try:
            owner.execute(_CREATE.encode())
            _fill(owner, made)
            owner.execute(f"VACUUM ANALYZE {TABLES}".encode())
            yield
        finally:
            owner.execute(_DROP.encode())


def _fill(owner: db.Connection, made: Data) -> None:
    owner.execute("SET ROLE comms_owner")
    rows = {
        "load_calls": made.call_rows(),
        "load_pages": made.page_rows(),
        "load_reports": made.report_rows(),
    }
    for table, values in rows.items():
        for first in range(0, len(values), 2000):
            owner.execute(
                f"INSERT INTO public.{table} SELECT given.* FROM"  # noqa: S608 - a name from above
                f" json_populate_recordset(NULL::public.{table}, %s::json) AS given".encode(),
                (json.dumps(values[first : first + 2000]),),
            )
