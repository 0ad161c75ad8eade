"""What a restore of the cluster would do is said before, and what cannot work is refused."""

from __future__ import annotations

import errno
import json
import shutil
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.agent import cli, cluster_restore, facts, old_data, paths, pgbackrest, restore_plan
from infra.agent.archive import SEGMENT_BYTES
from infra.agent.errors import AgentError
from infra.agent.pgbackrest import Backup, parse_info
from infra.agent.restore_plan import Wish
from infra.agent.wal_audit import Audit, Position, Segment, Window

RESTORE = "restore_20260102_030405"
ME, OTHER = "0123456789abcdef", "fedcba9876543210"
LOOKS = ("plan", "room", "record", "write", "position", "reached")


@pytest.fixture
def backups(info: Any) -> tuple[Backup, ...]:
    """A full backup and an incremental one, as pgBackRest told of them."""
    return parse_info(info, "wedsync").backups


def at(moment: datetime) -> Wish:
    return Wish("time", f"{moment.astimezone(UTC):%Y-%m-%d %H:%M:%S.%f}+00", True, None)


def open_since(backup: Backup, to: datetime | None = None) -> Audit:
    return Audit(windows=[Window(backup.completed_at, to, backup.label)])


def complaints(wish: Wish, backups: tuple[Backup, ...], audited: Audit) -> list[str]:
    chosen = restore_plan.choose(backups, wish)
    where = Position(Segment(1, 9))
    return list(restore_plan.problems(wish, chosen, audited, where, datetime.now(UTC)))


def test_the_newest_backup_before_the_target_is_taken(backups: tuple[Backup, ...]) -> None:
    full, newer = backups
    same_second = at(newer.completed_at + timedelta(milliseconds=500))
    assert restore_plan.choose(backups, same_second) == full
    after = at(newer.completed_at + timedelta(seconds=1))
    assert restore_plan.choose(backups, after) == newer


@pytest.mark.parametrize("kind", ["lsn", "name", "xid"])
def test_a_place_in_the_log_chooses_by_where_backups_end(
    backups: tuple[Backup, ...], kind: str
) -> None:
    full, newer = backups
    end = pgbackrest.position(newer.lsn_stop)
    assert restore_plan.choose(backups, Wish(kind, "x", True, end)) == newer
    assert restore_plan.choose(backups, Wish(kind, "x", True, end - 1)) == full
    assert restore_plan.choose(backups, Wish(kind, "x", True, None)) is None


def test_what_can_be_done_has_no_problems(backups: tuple[Backup, ...]) -> None:
    wish = at(backups[1].completed_at + timedelta(minutes=1))
    assert complaints(wish, backups, open_since(backups[0])) == []


def test_the_future_is_refused(backups: tuple[Backup, ...]) -> None:
    audited = open_since(backups[0])
    [said] = complaints(at(datetime.now(UTC) + timedelta(minutes=1)), backups, audited)
    assert "has not come yet" in said
    [said] = complaints(Wish("lsn", "0/B000000", True, 0xB000000), backups, audited)
    assert "has not come yet" in said


def test_before_the_first_backup_is_refused_with_the_first_moment(
    backups: tuple[Backup, ...],
) -> None:
    first = backups[0].completed_at
    [said] = complaints(at(first - timedelta(days=1)), backups, open_since(backups[0]))
    assert f"{first:%Y-%m-%d %H:%M:%S} UTC" in said


def test_behind_a_hole_in_the_log_is_refused(backups: tuple[Backup, ...]) -> None:
    whole_until = backups[1].completed_at + timedelta(minutes=5)
    audited = open_since(backups[0], whole_until)
    assert complaints(at(whole_until), backups, audited) == []
    [said] = complaints(at(whole_until + timedelta(minutes=1)), backups, audited)
    assert "behind the hole" in said


@pytest.mark.parametrize("kind", ["lsn", "name", "xid"])
def test_a_place_behind_a_hole_in_the_log_is_refused(
    backups: tuple[Backup, ...], kind: str
) -> None:
    first = Segment.parse(backups[1].wal_stop).number + 1
    audited = open_since(backups[0])
    inside = Wish(kind, "7", True, first * SEGMENT_BYTES + 1)
    assert complaints(inside, backups, audited) == []
    audited.broken = [first]
    [said] = complaints(inside, backups, audited)
    assert "lies behind the hole" in said
    audited.broken = [0]  # before the backup: nobody needs it
    assert complaints(inside, backups, audited) == []


def test_a_transaction_that_may_have_ended_behind_a_hole_is_refused(
    backups: tuple[Backup, ...],
) -> None:
    first = Segment.parse(backups[1].wal_stop).number + 1
    audited = open_since(backups[0])
    audited.broken = [first + 1]
    at_least = first * SEGMENT_BYTES
    assert complaints(Wish("lsn", "0/1", True, at_least), backups, audited) == []
    [said] = complaints(Wish("xid", "7", True, at_least), backups, audited)
    assert "may have ended behind the hole; give a time or an LSN" in said


def test_nothing_is_restored_from_nothing(backups: tuple[Backup, ...]) -> None:
    [said] = complaints(at(backups[1].completed_at), backups, Audit())
    assert "Nothing can be restored" in said


def test_too_little_room_beside_the_old_data_is_refused() -> None:
    assert list(restore_plan._room(1000, 1000)) == []
    [said] = restore_plan._room(999, 1000)
    assert "needs 1000 bytes beside the old one, which is kept; 999 are free" in said


@pytest.mark.parametrize(
    "said",
    [
        {"kind": "time", "value": "2026-01-02 03:04:05"},
        {"kind": "time", "value": "2026-01-02 03:04:05.000000+01"},
        {"kind": "lsn", "value": "0/3; rm -rf /"},
        {"kind": "name", "value": "x\n--type=none"},
        {"kind": "xid", "value": "-1"},
        {"kind": "immediate", "value": "x"},
        {"kind": "lsn", "value": "0/3000000", "lsn": "3000000"},
    ],
)
def test_a_target_that_is_none_reaches_no_command_line(said: dict[str, object]) -> None:
    with pytest.raises(AgentError):
        Wish.parse(said)


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data directory with something in it."""
    directory = tmp_path / "17" / "wedsync"
    (directory / "pg_wal").mkdir(parents=True)
    (directory / "PG_VERSION").write_text("17\n")
    monkeypatch.setattr(old_data, "patroni_runs", lambda: False)
    monkeypatch.setattr(paths, "STATE", tmp_path)
    monkeypatch.setattr(paths, "WAL", directory / "pg_wal")
    monkeypatch.setattr(paths, "RESTORES", tmp_path / "restore")
    monkeypatch.setattr(paths, "SPOOL", tmp_path / "spool")
    monkeypatch.setattr(paths, "RESTORE_ORDER", tmp_path / "restore.json")
    monkeypatch.setattr(paths, "REFUSED", tmp_path / "refused")
    return directory


def test_old_data_goes_aside_and_comes_back(machine: Any, data: Path) -> None:
    for _ in range(2):
        old_data.aside(machine, RESTORE)
        assert not data.exists()
    data.mkdir()
    (data / "PG_VERSION").write_text("restored")
    for _ in range(2):
        old_data.back(RESTORE)
        assert (data / "PG_VERSION").read_text() == "17\n"


def test_data_that_is_in_use_is_not_touched(machine: Any, data: Path) -> None:
    (data / "postmaster.pid").write_text("1")
    with pytest.raises(AgentError):  # there is no pg_ctl here that could stop it
        old_data.aside(machine, RESTORE)
    assert data.exists()


def test_nothing_is_discarded_that_may_be_all_there_is(machine: Any, data: Path) -> None:
    with pytest.raises(AgentError, match="may be all there is"):
        old_data.discard(RESTORE)
    assert data.exists()
    old_data.aside(machine, RESTORE)
    (data / "half").mkdir(parents=True)
    old_data.discard(RESTORE)
    assert not data.exists()
    old_data.back(RESTORE)
    assert (data / "PG_VERSION").exists()


def test_after_it_is_clean_there_is_no_way_back(machine: Any, data: Path) -> None:
    old_data.aside(machine, RESTORE)
    data.mkdir()
    assert old_data.clean(RESTORE) == {"cleaned": True}
    assert old_data.clean(RESTORE) == {"cleaned": False}
    old_data.back(RESTORE)
    assert not (data / "PG_VERSION").exists()


def test_facts_are_applied_in_their_order_and_not_too_many_at_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cluster_restore, "AT_ONCE", 2)
    file = tmp_path / "facts.jsonl"
    facts = [("suppression", 1), ("suppression", 2), ("suppression", 3), ("erasure", 4)]
    file.write_text("".join(f"{json.dumps(fact)}\n" for fact in facts))
    batches = list(cluster_restore._batches(file))
    assert batches == [("suppression", [1, 2]), ("suppression", [3]), ("erasure", [4])]


def test_no_facts_are_no_reason_to_go_on(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="protective facts are not here"):
        list(cluster_restore._batches(tmp_path / "facts.jsonl"))


@pytest.mark.usefixtures("data")
def test_an_order_that_cannot_be_read_restores_nothing() -> None:
    assert cluster_restore.ordered() is None
    paths.RESTORE_ORDER.write_text('{"kind": "time"')
    with pytest.raises(AgentError):
        cluster_restore.ordered()
    paths.RESTORE_ORDER.write_text(
        '{"kind": "lsn", "value": "0/3000000", "inclusive": false, "label": "20260102-030405F"}'
    )
    label, target = cluster_restore.ordered() or ("", None)
    assert label == "20260102-030405F"
    assert target is not None
    assert target.options() == ("--type=lsn", "--target=0/3000000", "--target-exclusive")


@pytest.fixture
def led(data: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The same on a machine of a restore that `ME` leads."""
    there = {"revision": 1, "record": {"restore_id": RESTORE, "holder": ME}}
    monkeypatch.setattr(cluster_restore, "record", lambda _machine: there)
    return data


def step(action: str, holder: str, restore_id: str = RESTORE) -> int:
    return cli.main(["restore-cluster", action, "--id", restore_id, "--holder", holder])


@pytest.fixture
def told(machine: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """A machine that knows what it is."""
    monkeypatch.setattr(facts, "machine", lambda: machine)


@pytest.mark.usefixtures("told")
@pytest.mark.parametrize("action", sorted(cluster_restore.CHANGES))
def test_who_leads_no_more_changes_nothing(
    led: Path, action: str, caplog: pytest.LogCaptureFixture
) -> None:
    """A laptop that slept while another person went on."""
    for holder, restore_id in ((OTHER, RESTORE), (ME, "restore_20250102_030405")):
        assert step(action, holder, restore_id) == 1
        assert "is led by somebody else" in caplog.messages.pop()
    assert (led / "PG_VERSION").read_text() == "17\n"


@pytest.mark.usefixtures("told")
def test_one_step_at_a_time_changes_a_machine(
    machine: Any, led: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What an interrupted call has begun goes on; nothing comes between."""
    with cluster_restore.alone(machine, RESTORE, ME) as free:
        assert free
        assert step("aside", ME) == 0
        assert json.loads(capsys.readouterr().out) == {"busy": True}
        assert led.exists()
    assert step("aside", ME) == 0
    assert not led.exists()


def test_what_is_not_guarded_only_looks() -> None:
    [actions] = [
        option.choices
        for group in cli._parser()._subparsers._group_actions  # type: ignore[union-attr]
        for option in group.choices["restore-cluster"]._actions  # type: ignore[index]
        if option.dest == "action"
    ]
    assert set(actions) - cluster_restore.CHANGES == set(LOOKS)


def test_nothing_is_moved_while_patroni_runs(
    machine: Any, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A machine that was booted anew, or that somebody started."""
    old_data.aside(machine, RESTORE)
    data.mkdir()
    monkeypatch.setattr(old_data, "patroni_runs", lambda: True)
    for act in (old_data.back, old_data.discard, old_data.settle):
        with pytest.raises(AgentError, match="Patroni runs"):
            act(RESTORE)
    with pytest.raises(AgentError, match="Patroni runs"):
        old_data.aside(machine, RESTORE)
    assert data.exists()


def test_what_cannot_be_deleted_is_said(
    machine: Any, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_of_errors(path: Path, **_options: object) -> None:
        if not _options.get("ignore_errors"):
            raise OSError(errno.EIO, "Input/output error", str(path))

    old_data.aside(machine, RESTORE)
    data.mkdir()
    monkeypatch.setattr(shutil, "rmtree", full_of_errors)
    with pytest.raises(AgentError, match="is not deleted"):
        old_data.clean(RESTORE)


STANDBY = """\
Database cluster state:               shut down in recovery
Latest checkpoint location:           0/6A003438
Latest checkpoint's REDO location:    0/69000DD0
Latest checkpoint's TimeLineID:       2
Latest checkpoint's PrevTimeLineID:   2
Minimum recovery ending location:     {0}
Min recovery ending loc's timeline:   {1}
"""
"""What pg_controldata 17.6 says of a standby, as far as it counts."""


@pytest.mark.parametrize(
    ("location", "timeline", "furthest"),
    [
        ("0/6D000520", 2, (2, "0/6D000520")),
        ("0/0", 0, (2, "0/6A003438")),  # a primary
        ("0/6A003490", 3, (3, "0/6A003490")),  # promoted, and no checkpoint since
    ],
)
def test_control_data_say_how_far_data_goes(
    location: str, timeline: int, furthest: tuple[int, str]
) -> None:
    assert old_data.furthest(STANDBY.format(location, timeline)) == furthest


def test_no_data_is_no_position(data: Path) -> None:
    assert old_data.position()["timeline"] == 0
    assert data.exists()
