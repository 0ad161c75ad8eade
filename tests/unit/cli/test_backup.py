"""The timeline of restorable moments, drawn."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from guestcomms.backup_checks import Window
from guestcomms.cli.backup import bar

BEGAN = datetime(2026, 11, 1, tzinfo=UTC)


def window(since: int, to: int | None) -> Window:
    hours = timedelta(hours=1)
    return Window(
        since=BEGAN + since * hours, to=None if to is None else BEGAN + to * hours, backup="x"
    )


@pytest.mark.parametrize(
    ("windows", "drawn"),
    [
        ([window(0, None)], "|██████████|"),
        ([window(0, 5)], "|█████·····|"),
        ([window(0, 3), window(7, None)], "|███····███|"),
        ([window(0, 3), window(3, None)], "|██████████|"),
        ([window(0, 1), window(9, 10)], "|█········█|"),
    ],
)
def test_a_block_is_restorable_and_a_dot_is_not(windows: list[Window], drawn: str) -> None:
    assert bar(windows, BEGAN + timedelta(hours=10), width=10).plain == drawn


def test_a_moment_that_is_only_partly_covered_is_a_dot() -> None:
    now = BEGAN + timedelta(hours=10)
    assert bar([window(0, 10)], now, width=4).plain == "|████|"
    assert bar([window(0, 6)], now, width=4).plain == "|██··|"


def test_a_first_backup_just_now_is_drawn_too() -> None:
    assert bar([window(0, None)], BEGAN, width=3).plain == "|███|"
