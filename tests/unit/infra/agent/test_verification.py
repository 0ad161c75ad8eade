"""pgBackRest's verification is read by what it says; what it does not say is no pass."""

from __future__ import annotations

import dataclasses
from datetime import UTC, datetime

import pytest

from infra.agent.errors import AgentError
from infra.agent.pgbackrest import Backup, Stored
from infra.agent.verification import parse, short_bundles
from tests.unit.infra.agent.test_wal_audit import backup

FULL = backup(1, 2, 3)
SOUND = f"""stanza: wedsync
status: ok
  archiveId: 17-1, total WAL checked: 10, total valid WAL: 10
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
  backup: {FULL.label}, status: valid, total files checked: 2296, total valid files: 2296
    missing: 0, checksum invalid: 0, size invalid: 0, other: 0
"""
DAMAGED = (
    SOUND.replace("status: ok", "status: error")
    .replace("status: valid", "status: invalid")
    .replace("valid files: 2296", "valid files: 2294")
    .replace("missing: 0, checksum invalid: 0, size invalid: 0, other: 0\n  b", "other\n  b")
)
LOG = """P01   INFO: file missing '20261122-222854F/pg_data/base/1/2602_fsm.gz'
P01   INFO: invalid checksum '20261122-222854F/pg_data/base/5/2655.gz'
P01   INFO: invalid result 17-1/0000000100000000/000000010000000000000006-27b5.gz: [29] raised
"""


def kinds(said: str, names: str = "", *backups: Backup) -> list[str]:
    return [finding.kind for finding in parse(said, names, backups or (FULL,)).findings]


def test_a_sound_repository() -> None:
    made = parse(SOUND, "", (FULL,))
    assert made.findings == []
    assert (made.figures["files"], made.figures["files_damaged"]) == (2306, 0)


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("status: ok", "status: error", "not_ok"),
        ("status: ok\n", "", "not_ok"),
        ("status: valid", "status: invalid", "damaged"),
        ("status: valid", "status: manifest missing", "damaged"),
        ("valid files: 2296", "valid files: 2295", "damaged"),
        ("valid WAL: 10", "valid WAL: 9", "damaged"),
        ("checksum invalid: 0", "checksum invalid: 1", "not_ok"),
        (f"  backup: {FULL.label}", "  backup: 20200101-000000F", "backup_missing"),
        ("status: ok", "status: ok\n  No usable backup.info file", "not_understood"),
    ],
)
def test_whatever_is_not_as_it_should_be_is_found(old: str, new: str, kind: str) -> None:
    assert kind in kinds(SOUND.replace(old, new, 1))


def test_nothing_said_is_no_pass() -> None:
    assert kinds("") == ["backup_missing"]


def test_an_empty_repository_is_no_pass() -> None:
    assert [f.kind for f in parse("stanza: wedsync\nstatus: ok\n", "", ()).findings] == [
        "no_backup"
    ]


def test_damaged_files_are_named() -> None:
    made = parse(DAMAGED, LOG, (FULL,))
    assert [finding.what for finding in made.findings if finding.kind == "damaged_file"] == [
        "20261122-222854F/pg_data/base/1/2602_fsm.gz: file missing",
        "20261122-222854F/pg_data/base/5/2655.gz: invalid checksum",
        "17-1/0000000100000000/000000010000000000000006-27b5.gz: invalid result",
    ]
    assert (made.figures["backups_damaged"], made.figures["files_damaged"]) == (1, 2)


@pytest.mark.parametrize("errors", [True, None])
def test_damaged_or_unchecked_pages_are_found(*, errors: bool | None) -> None:
    assert kinds(SOUND, "", dataclasses.replace(FULL, page_errors=errors)) == ["pages"]


MANIFEST = f"""[backrest]
backrest-format=5

[target:file]
pg_data/PG_VERSION={{"bni":1,"bno":1232,"checksum":"ad","repo-size":24,"size":3,"timestamp":1}}
pg_data/base/1/112={{"bni":1,"bno":57520,"repo-size":72,"size":8192,"timestamp":1}}
pg_data/base/1/113={{"bni":2,"checksum":"1c","size":8192,"timestamp":1}}
pg_data/base/1/114={{"bni":3,"bno":9000,"reference":"20250101-000000F","repo-size":72,"size":8192}}
pg_data/base/1/115={{"checksum-page":true,"size":0,"timestamp":1}}
pg_data/a=b={{"bni":2,"bno":8192,"reference":"{FULL.label}","repo-size":8,"size":9,"timestamp":1}}

[target:file:default]
group="postgres"
"""
NOW = datetime(2026, 1, 2, tzinfo=UTC)


def short(**sizes: int) -> dict[str, str]:
    stored = {name.removeprefix("b"): Stored(size, NOW) for name, size in sizes.items()}
    found = list(short_bundles(FULL.label, MANIFEST, stored))
    return {str(one.facts["path"]).rpartition("/")[2]: one.what for one in found}


def test_a_bundle_ends_where_its_last_file_does() -> None:
    assert short(b1=57592, b2=8200) == {}
    assert short(b1=57593, b2=9000) == {}  # longer is not what this is about
    assert list(short(b1=57591, b2=8200)) == ["1"]
    assert list(short(b1=57592, b2=8199)) == ["2"]
    assert "0 bytes instead of 57592" in short(b1=0)["1"]


def test_a_bundle_that_is_not_there_is_for_pgbackrest_to_tell() -> None:
    assert short() == {}
    assert short(b3=1) == {}  # a file of an earlier backup, whose bundle has this number there


def test_a_manifest_that_is_none_is_no_pass() -> None:
    with pytest.raises(AgentError):
        list(short_bundles(FULL.label, '\n[target:file]\npg_data/x={"bni":1,\n\n', {}))
    with pytest.raises(AgentError):
        list(short_bundles(FULL.label, '\n[target:file]\npg_data/x={"bni":"1"}\n\n', {}))
