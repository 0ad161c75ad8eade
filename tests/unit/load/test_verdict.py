from __future__ import annotations

from typing import Any

import pytest
from guestcomms.cli.load import is_production
from guestcomms.load import verdict
from guestcomms.load.result import Result

from tests.unit.load import runs


def judged(result: Result) -> Result:
    result.verdict = verdict.judge(result)
    result.causes = verdict.causes(result)
    return result


@pytest.mark.parametrize("name", ["sustained-clients", "sustained-rates", "spike-rates"])
def test_a_good_run_meets_its_demands(name: str) -> None:
    found = judged(runs.run(name))
    assert found.met, found.verdict
    assert found.causes == []


def test_a_run_without_answers_meets_nothing() -> None:
    found = runs.run()
    for one in found.steps[0].operations.values():
        one.answered, one.per_second, one.p99_ms = 0, 0, None
    missed = {one.what for one in judged(found).verdict if not one.met}
    assert {"right answers", "success", "bulk_send, P99 ms"} <= missed


def test_what_nobody_measured_is_not_met() -> None:
    found = runs.run()
    found.server = {}
    assert "clients that PgBouncer shows throughout" in {
        one.what for one in judged(found).verdict if not one.met
    }


@pytest.mark.parametrize("name", ["sustained-clients", "sustained-rates", "soak-rates"])
@pytest.mark.parametrize("few", [{"pool_samples": 2}, {"database_samples": 23}])
def test_a_few_samples_show_nothing(name: str, few: dict[str, Any]) -> None:
    found = runs.run(name, **few)
    found.series, found.blocks = steady(), runs.blocks(1)
    assert missed(found) == {"samples of pooler and database"}
    assert missed(runs.run("sustained-clients", samples_expected=36)) == set()


def missed(found: Result) -> set[str]:
    return {one.what for one in judged(found).verdict if not one.met}


def steady(**other: list[float]) -> dict[str, list[tuple[float, float | None]]]:
    """Half an hour in which nothing grows but what is given."""
    values = {
        "memory postgres pg-1": [100.0], "memory postgres pg-2": [20.0],
        "memory pgbouncer pg-1": [20.0], "memory haproxy proxy-1": [30.0],
        "dead rows %": [4.0], "bytes a row": [120.0], "queue table MiB": [2.0],
        "queue messages": [3e5, 2.9e5, 2.8e5],
    } | {name.replace("__", " "): each for name, each in other.items()}  # fmt: skip
    return {
        name: [(30 + 6.0 * n, each[n * len(each) // 300]) for n in range(300)]
        for name, each in values.items()
    }


GROWN = ", last third by first"


@pytest.mark.parametrize(
    ("other", "what"),
    [
        ({}, None),
        ({"memory__postgres__pg-1": [100.0, 115, 130]}, "memory of PostgreSQL" + GROWN),
        ({"memory__pgbouncer__pg-1": [20.0, 25, 30]}, "memory of PgBouncer" + GROWN),
        ({"memory__haproxy__proxy-1": [30.0, 40, 50]}, "memory of HAProxy" + GROWN),
        ({"memory__haproxy__proxy-1": [2.0, 4, 8]}, None),
        ({"bytes__a__row": [120.0, 140, 160]}, "size of tables by live rows" + GROWN),
        ({"dead__rows__%": [0.0, 10, 30]}, "dead rows" + GROWN),
        ({"dead__rows__%": [0.0, 0, 15]}, None),
        ({"queue__table__MiB": [2.0, 8, 20]}, "size of the queue's table" + GROWN),
        ({"queue__messages": [3e5, 3.02e5, 3.05e5]}, "messages queued, last third less first"),
        ({"queue__messages": [0.0, 0.0, 5.0]}, "messages queued, last third less first"),
        ({"queue__messages": [0.0]}, None),
    ],
)
def test_what_grows_in_half_an_hour_is_missed(
    other: dict[str, list[float]], what: str | None
) -> None:
    found = runs.run("soak-rates", cpu={"postgres": 1.0, "haproxy": 0.1})
    found.series, found.blocks = steady(**other), runs.blocks(1)
    assert missed(found) == ({what} if what else set())


def test_only_the_slow_calls_got_slower() -> None:
    found = runs.run("soak-rates")
    found.series, found.blocks = steady(), runs.blocks(1)
    slow = found.blocks["bulk_send, P95"]
    slow[20:] = [2 * value for value in slow[20:]]
    assert missed(found) == {"bulk_send, P95 ms" + GROWN}


def test_what_was_not_sampled_is_not_steady() -> None:
    found = runs.run("soak-rates")
    found.series, found.blocks = steady(), runs.blocks(1)
    del found.series["memory pgbouncer pg-1"], found.series["bytes a row"]
    assert missed(found) == {
        "memory of PgBouncer" + GROWN, "size of tables by live rows" + GROWN
    }  # fmt: skip


def test_one_wrong_answer_fails_the_run() -> None:
    found = runs.run()
    found.wrong = 1  # in the warm-up, which no step has
    found.errors = {"bulk_send: answer to template_render #": 1}
    assert not judged(found).met
    assert found.causes[0].startswith("answers swapped between clients: 1 calls")


@pytest.mark.parametrize(
    ("figure", "value", "what"),
    [
        ("exit_code", -9, "exit code of k6"),
        ("last_answer_s", 60, "answers until second"),
        ("cut_off", 3, "calls cut off at the end"),
    ],
)
def test_a_generator_that_died_or_left_calls_open_proves_nothing(
    figure: str, value: float, what: str
) -> None:
    found = runs.run()
    found.generator[figure] = abs(value)
    assert [one.what for one in judged(found).verdict if not one.met] == [what]


@pytest.mark.parametrize(
    ("late", "server", "cause"),
    [
        (5000, {}, "generator short of CPU: k6 woke up 5000 ms late"),
        (
            10,
            {"waits": {"Timeout/PgSleep": 0.9, "CPU": 0.1}},
            "sessions wait for Timeout/PgSleep 90% of their time; most of the time is spent in b",
        ),
        (
            10,
            {"pool_size": 1, "pool_use": 1.0, "pool_waiting_mean": 19.0},
            "pool too small: its 1 connections are busy 100%",
        ),
        (10, {"machine_idle": 0.01}, "CPU: the machine idles 1% of 2 cores; used by postgres"),
        (10, {"samples": 0}, "unknown: no machine could be watched"),
    ],
)
def test_the_cause_is_named(late: float, server: dict[str, Any], cause: str) -> None:
    found = runs.run(late=late, **server)
    found.steps[0].operations["bulk_send"].p99_ms = 9000
    assert judged(found).causes[0].startswith(cause)


def test_the_limit_is_the_last_step_before_one_that_breaks() -> None:
    found = runs.run("break-point")
    rates = [step.rate for step in found.steps]
    found.steps[rates.index(2.5)].operations["status_update"].p99_ms = 501
    found.limit = verdict.limit(found)
    assert found.limit == 2
    assert judged(found).met
    found.steps[rates.index(1.25)].operations["send"].dropped = 1
    found.limit = verdict.limit(found)
    assert found.limit == 1
    assert not judged(found).met


def test_what_is_used_up_first_is_that_of_the_step_that_broke() -> None:
    found = runs.run("break-point", machine_idle=0.5)
    found.limit = 2
    found.broken = {**runs.QUIET, "machine_idle": 0.02}
    assert verdict.saturated(found)[0].startswith("CPU: the machine idles 2%")
    found.limit = found.steps[-1].rate
    assert verdict.saturated(found) == ["nothing: it held at every rate up to 3; raise them"]


def test_a_spike_has_to_be_over_in_the_end() -> None:
    found = runs.run("spike-rates")
    for step in found.steps[1:3]:  # while it lasts, and ten seconds more
        step.operations["send"].p99_ms = 4000
    assert missed(found) == set()
    found.steps[3].operations["send"].p99_ms = 501
    assert missed(found) == {"send, P99 ms, last step"}


@pytest.mark.parametrize(
    ("name", "tags", "production"),
    [
        ("local", {}, False),
        ("aws-prod", {}, True),
        ("aws-staging", {"environment": "staging"}, False),
        ("weddings", {"environment": "production"}, True),
        ("product", {}, False),
        ("AWS-Prod", {}, True),
        ("weddings_production", {}, True),
        ("eu.live", {}, True),
        ("weddings", {"Environment": "Production"}, True),
        ("weddings", {"environment": "prod eu"}, True),
        ("delivery", {"owner": "production"}, False),
    ],
)
def test_production_is_known_by_name_or_tag(
    name: str, tags: dict[str, str], production: bool
) -> None:
    assert is_production(name, {"place": {"tags": tags}}) is production
