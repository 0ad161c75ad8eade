from datetime import UTC, datetime
from typing import Any

import pytest

from infra.agent import pgbackrest
from infra.agent.backups import backup_of, result
from infra.agent.errors import AgentError

EXCHANGE = """P00  ERROR: [039]: HTTP request failed with 404 (Not Found):
           *** Path/Query ***:
           GET /wedsync-backups/?delimiter=%2F
           *** Request Headers ***:
           authorization: <redacted>
           *** Response Content ***:
           <?xml version="1.0"?><Error><Code>NoSuchBucket</Code></Error>
"""


# What pgBackRest 2.55.1 really said to a copy that recovered.
AWAY = """P00   WARN: repo1: [HostConnectError] unable to load info file '/r/archive.info':
           HostConnectError: unable to connect to '127.0.0.1:1': [111] Connection refused
               [HostConnectError] on 6 retries from 100-3000ms: unable to connect to '127.0.0.1:1'
P00  ERROR: [103]: unable to find a valid repository
FATAL:  could not locate required checkpoint record at 0/63000080
"""
DAMAGED = """P00  ERROR: [042]: unable to get 000000010000000000000074:
           repo1: 17-1/0000000100000000/000000010000000000000074-ac.zst [CryptoError] cipher header invalid
FATAL:  recovery ended before configured recovery target was reached
"""  # noqa: E501
HOLE = "FATAL:  recovery ended before configured recovery target was reached\n"
LOST = AWAY.replace("HostConnect", "FileMissing")


@pytest.mark.parametrize(
    ("said", "was_away"),
    [(AWAY, True), (DAMAGED, False), (HOLE, False), (LOST, False), (AWAY + DAMAGED, False)],
)
def test_a_store_that_was_away_is_told_from_a_damaged_one(said: str, was_away: bool) -> None:
    assert pgbackrest.store_was_away(said) is was_away


def test_the_last_cause_is_what_people_read() -> None:
    assert pgbackrest.complaint(DAMAGED) == "CryptoError cipher header invalid"


def test_a_backup_is_read_with_everything_the_ledger_keeps(info: Any) -> None:
    said = pgbackrest.parse_info(info, "wedsync")
    assert said.code == pgbackrest.STATUS_OK
    made = backup_of(said, "backup_20261122_114023_000001")
    assert made is not None
    assert made.started_at == datetime(2026, 11, 22, 11, 40, 23, tzinfo=UTC)
    assert result(made) == {
        "label": "20261122-114022F_20261122-114023I",
        "type": "incr",
        "backup_size_bytes": 23200659,
        "repository_size_bytes": 408,
        "lsn_start": "0/4000028",
        "lsn_stop": "0/5000050",
        "wal_start": "000000010000000000000004",
        "wal_stop": "000000010000000000000005",
        "started_at": "2026-11-22T11:40:23+00:00",
        "completed_at": "2026-11-22T11:40:24+00:00",
        "checksum_errors": 0,
    }


def test_a_row_without_its_backup_has_none(info: Any) -> None:
    said = pgbackrest.parse_info(info, "wedsync")
    assert backup_of(said, "backup_20261122_999999_000001") is None


@pytest.mark.parametrize(("error", "meaning"), [(True, True), (False, False), (None, None)])
def test_damaged_pages_are_told_from_unchecked_ones(
    info: Any, error: object, meaning: object
) -> None:
    info[0]["backup"][0]["error"] = error
    assert pgbackrest.parse_info(info, "wedsync").backups[0].page_errors is meaning


def test_an_empty_repository_has_no_stanza() -> None:
    said = pgbackrest.parse_info([], "wedsync")
    assert (said.code, said.backups) == (pgbackrest.STATUS_MISSING_PATH, ())


def test_an_unreachable_store_is_no_empty_one(info: Any) -> None:
    info[0]["backup"] = []
    info[0]["repo"][0]["status"] = {"code": 99, "message": "[HostConnectError] unable to connect"}
    said = pgbackrest.parse_info(info, "wedsync")
    assert said.code not in (pgbackrest.STATUS_MISSING_PATH, pgbackrest.STATUS_OK)
    assert "unable to connect" in said.message


@pytest.mark.parametrize("label", ["../../etc", "20261122-114022F --repo=2", "20261122-114022F\n"])
def test_a_label_of_another_form_is_refused(info: Any, label: str) -> None:
    info[0]["backup"][0]["label"] = label
    with pytest.raises(AgentError, match="label"):
        pgbackrest.parse_info(info, "wedsync")


def test_the_reason_of_a_failed_request_is_short_and_names_the_store_s_code() -> None:
    said = pgbackrest.reason("P00   WARN: something\n" + EXCHANGE)
    assert said == "ERROR: [039]: HTTP request failed with 404 (Not Found): NoSuchBucket"


def test_a_reason_is_printable_whatever_was_deciphered_wrongly() -> None:
    assert pgbackrest.reason("FormatError: D\x00\ufffd\x1b[2J bad").isprintable()


@pytest.mark.parametrize(
    ("status", "passes"),
    [
        (41, True),  # file-open: what a store that says nothing ends in
        (49, True),  # host-connect
        (50, True),  # lock-acquire
        (82, True),  # archive-timeout
        (-9, True),  # killed
        (62, False),  # stop
        (31, False),  # option-invalid
        (58, False),  # db-mismatch
        (95, False),  # crypto
        (0, False),  # it says that all is well, and left no backup
    ],
)
def test_failures_that_may_pass(status: int, *, passes: bool) -> None:
    assert pgbackrest.may_pass(status) is passes
