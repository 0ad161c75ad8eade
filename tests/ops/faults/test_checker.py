"""Controls: each kind of damage is found, and a clean failover is not called damage."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import pytest

from tests.ops.cluster.writer import CANCELLED_WAIT, Ack, Journal, Record, read_journal
from tests.ops.faults.catalogue import FAULTS, LASTING, Group
from tests.ops.faults.checker import Damage, Sample, damage, stale_claims
from tests.ops.faults.report import write_document
from tests.ops.faults.watch import parse

OLD, NEW = 4, 5


def look(
    machine: str, began: float, *, accepted: bool = True, claims: bool = True, timeline: int = OLD
) -> Sample:
    return Sample(machine, began, began + 0.05, claims, accepted, timeline)


# pg-1 is primary until 2.0, then pg-2 on the next timeline.
ACKS = [
    *(Ack(1, number, number / 10, number / 10 + 0.01, OLD) for number in range(1, 20)),
    *(Ack(1, number, number / 10 + 5, number / 10 + 5.01, NEW) for number in range(20, 40)),
]
ROWS = Counter({ack.key: 1 for ack in ACKS})
SAMPLES = [
    *(look("pg-1", at / 2) for at in range(4)),
    *(look("pg-2", 7 + at / 2, timeline=NEW) for at in range(4)),
    *(look("pg-3", at / 2, accepted=False, claims=False, timeline=0) for at in range(16)),
]
COPIES = {"pg-1": "39 7", "pg-2": "39 7", "pg-3": "39 7"}


def test_a_clean_failover_is_no_damage() -> None:
    # A row that nobody acknowledged may be there: its answer got lost.
    assert not damage(ACKS, ROWS + Counter({(2, 1): 1}), SAMPLES, COPIES)


def test_a_removed_row_is_lost() -> None:
    rows = ROWS - Counter({(1, 7): 1})
    assert damage(ACKS, rows, SAMPLES, COPIES) == Damage(lost=((1, 7),))


def test_a_row_that_is_there_twice_is_doubled() -> None:
    rows = ROWS + Counter({(1, 7): 1})
    assert damage(ACKS, rows, SAMPLES, COPIES) == Damage(doubled=((1, 7),))


def test_a_second_primary_is_found() -> None:
    # The old leader goes on confirming while the new one does.
    samples = [*SAMPLES, look("pg-1", 7.2)]
    (found,) = damage(ACKS, ROWS, samples, COPIES).primaries
    assert found.startswith("pg-1 (timeline 4) and pg-2 (timeline 5)")


def test_a_second_primary_on_the_same_timeline_is_found() -> None:
    samples = [*(look("pg-1", at) for at in range(5)), look("pg-2", 2.5)]
    assert len(damage(ACKS, ROWS, samples, COPIES).primaries) == 1


def test_an_old_leader_that_claims_but_confirms_nothing_is_no_second_primary() -> None:
    samples = [*SAMPLES, look("pg-1", 7.2, accepted=False), look("pg-1", 8.2, accepted=False)]
    assert not damage(ACKS, ROWS, samples, COPIES)
    assert stale_claims(samples) == pytest.approx(1.05)
    assert stale_claims(SAMPLES) == 0


def test_a_write_confirmed_on_an_old_timeline_is_found() -> None:
    # Sent and confirmed by the old leader after the new one had confirmed its first.
    acks = [*ACKS, Ack(2, 1, 8.0, 8.1, OLD)]
    assert damage(acks, ROWS + Counter({(2, 1): 1}), SAMPLES, COPIES) == Damage(late=((2, 1),))
    # Sent before: its answer was only slow.
    acks = [*ACKS, Ack(2, 1, 1.0, 8.1, OLD)]
    assert not damage(acks, ROWS + Counter({(2, 1): 1}), SAMPLES, COPIES)


def test_a_standby_with_other_rows_is_found() -> None:
    found = damage(ACKS, ROWS, SAMPLES, {**COPIES, "pg-3": "38 5"})
    assert found == Damage(diverged=("pg-3",))


def test_what_the_machines_say_is_understood() -> None:
    accepted = parse("pg-1", "10.5|10.6|claims 0000000A;accepts;")
    assert accepted == Sample("pg-1", 10.5, 10.6, claims=True, accepted=True, timeline=10)
    cancelled = parse("pg-1", f"10.5|10.6|claims 0000000A;WARNING:  {CANCELLED_WAIT} due;accepts;")
    assert cancelled == Sample("pg-1", 10.5, 10.6, claims=True, accepted=False, timeline=10)
    standby = parse("pg-1", "10.5|10.6|")
    assert standby == Sample("pg-1", 10.5, 10.6, claims=False, accepted=False, timeline=0)
    down = parse("pg-1", "10.5|10.6|psql: error: connection to server on socket failed;")
    assert down == standby


def test_a_journal_holds_what_was_noted(tmp_path: Path) -> None:
    journal = Journal(tmp_path / "acks.csv")
    for ack in ACKS:
        journal.note(ack)
    journal.close()
    assert read_journal(tmp_path / "acks.csv") == ACKS


def test_a_journal_survives_kill_minus_nine(tmp_path: Path) -> None:
    path = tmp_path / "acks.csv"
    code = (
        "import sys, time; from pathlib import Path\n"
        "from tests.ops.cluster.writer import Ack, Journal\n"
        "journal = Journal(Path(sys.argv[1]))\n"
        "journal.note(Ack(1, 1, 0.1, 0.2, 4))\n"
        "time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", code, str(path)])
    while not (path.exists() and path.stat().st_size):
        assert process.poll() is None
    os.kill(process.pid, signal.SIGKILL)
    process.wait()
    with path.open("a") as file:
        file.write("1,2,0.3")  # a line that the kill cut off
    assert read_journal(path) == [Ack(1, 1, 0.1, 0.2, 4)]


def test_gaps_are_those_of_all_writers_together() -> None:
    moments = [0.0, 0.4, 1.6, 1.7, 4.7]
    record = Record({(1, n): Ack(1, n, at, at, OLD) for n, at in enumerate(moments)})
    assert record.longest_gap == pytest.approx(3.0)
    assert record.gaps(0.5) == pytest.approx([1.2, 3.0])


def test_the_table_is_that_of_the_newest_campaign(tmp_path: Path) -> None:
    def one(
        campaign: str, lost: int, gap: float, group: Group = Group.MACHINE
    ) -> dict[str, object]:
        return {
            "campaign": campaign, "fault": "kill-leader", "run": 1, "group": group,
            "began": "2026-11-22T19:00:00+00:00", "commit": "abc", "cores": 2, "memory_gib": 24,
            "kernel": "6", "load": 1.0, "acknowledged": 9000, "per_second": 300,
            "damage": {"lost": lost, "doubled": 0, "late": 0, "primaries": 0, "diverged": 0},
            "gap": gap, "outage": gap, "whole_after_undo": 8.0, "notes": {"led_etcd_too": True},
            "problems": [f"{lost} lost"] if lost else [],
        }  # fmt: skip

    runs = [one("a", 3, 60.0), one("b", 0, 20.0), one("b", 0, 22.0), one("b", 1, 27.0)]
    write_document(json.loads(json.dumps(runs)), tmp_path / "faults.md")
    text = (tmp_path / "faults.md").read_text("utf-8")
    assert "| 3 | 27,000 (300/s or more) | 1 | 0 | 0 | 0 | 22.0 s (27.0) | 8.0 s (8.0) |" in text
    assert "Promise: gap ≤ 25 s. 3 runs: median 22.0 s, maximum 27.0 s: missed." in text
    assert "**3 faults of 1 kinds, 27,000 acknowledged writes: 1 lost" in text


def test_what_is_promised_is_run_often_enough() -> None:
    for group in (Group.PLANNED, Group.POSTGRES, Group.MACHINE):
        assert sum(fault.runs for fault in FAULTS.values() if fault.group is group) >= 5
    real = [fault for fault in FAULTS.values() if fault.group not in {Group.CONTROL, *LASTING}]
    assert sum(fault.runs for fault in real) >= 20
