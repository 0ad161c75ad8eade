"""What a load run with a failover in it is judged by."""

from __future__ import annotations

from pathlib import Path

from loadtest.bench.l3_failover import Acknowledged, acknowledged, compare, recovery

KILLED = 1000.0


def answers(*rates: int) -> list[tuple[float, str, str]]:
    """So many right answers in each second, from 20 s before the fault on."""
    return [
        (KILLED - 20 + second + place / (rate + 1), "send", "answered")
        for second, rate in enumerate(rates)
        for place in range(rate)
    ]


def test_recovery_counts_to_the_first_answer_and_to_the_full_rate() -> None:
    found = recovery(answers(*[100] * 20, 5, 0, 0, 40, 90, 100, 100, 100, 100, 100), KILLED)
    assert found == (3, 4)


def test_a_rate_that_never_comes_back_is_no_recovery() -> None:
    found = recovery(answers(*[100] * 20, 0, 0, *[50] * 20), KILLED)
    assert found == (2, float("inf"))


def test_what_the_database_does_not_have_is_lost_and_what_it_has_too_often_is_doubled() -> None:
    told = [
        Acknowledged("bulk_send", "a-1", 100), Acknowledged("bulk_send", "a-2", 100),
        Acknowledged("status_update", "b-1", 20), Acknowledged("status_update", "b-2", 20),
        Acknowledged("send", "c-1", 100), Acknowledged("template_render", "d-1", 1),
    ]  # fmt: skip
    known = {
        "bulk_send": {"a-1": 100}, "status_update": {"b-1": 18, "b-2": 17}, "send": {"c-1": 200},
    }  # fmt: skip
    assert compare(told, known) == {"acknowledged": 5, "lost": 2, "doubled": 100}


def test_what_the_generator_wrote_down_is_read(tmp_path: Path) -> None:
    file = tmp_path / "20261101T000000Z-failover-rates.json"
    file.with_suffix(".acknowledged").write_text(
        'time="2026-11-01T00:00:00Z" level=info msg="acknowledged send r-1 100" source=console\n'
        "acknowledged bulk_send r-2 100\nsomething else\n"
    )
    assert acknowledged(file) == [
        Acknowledged("send", "r-1", 100), Acknowledged("bulk_send", "r-2", 100),
    ]  # fmt: skip
