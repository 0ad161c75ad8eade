from __future__ import annotations

import re

import pytest
from guestcomms.errors import RefusedError
from guestcomms.load import charts, compare, plan, report, verdict
from guestcomms.load.result import P95, Result

from tests.unit.load import runs


def test_the_p_value_is_scipy_s() -> None:
    # scipy.stats.mannwhitneyu(x, y, method="asymptotic").pvalue; ages from SciPy's documentation
    males, females = [19, 22, 16, 29, 24], [20, 11, 17, 12]
    assert compare.mann_whitney(males, females) == pytest.approx(0.11134688653314041)
    assert compare.mann_whitney([1, 1, 1], [1, 1, 1]) == 1


def changes(seed: int, factor: float, tail: float = 1) -> list[compare.Change]:
    return compare.compare(measured(seed), measured(seed + 1000, factor, tail))


def measured(
    seed: int = 1, factor: float = 1, tail: float = 1, name: str = "sustained-clients"
) -> Result:
    found = runs.run(name)
    found.blocks = runs.blocks(seed, factor, tail)
    return found


def worse(before: Result, after: Result) -> list[str]:
    return [one.name for one in compare.compare(before, after) if one.worse]


def test_equal_runs_are_the_same_and_a_fifth_more_is_worse() -> None:
    equal = [one for seed in range(100) for one in changes(seed, 1) if one.worse or one.better]
    assert equal == []
    slower = [changes(seed, 1.2) for seed in range(100)]
    flagged = [{one.name for one in each if one.worse} for each in slower]
    assert all("bulk_send" in each for each in flagged)
    assert set().union(*flagged) == {"bulk_send", "bulk_send, P95"}


def test_what_got_faster_is_better() -> None:
    faster = [one for one in changes(1, 0.7) if one.better]
    assert [one.name for one in faster] == ["bulk_send", "bulk_send, P95"]


def test_slow_calls_that_got_slower_are_worse_though_the_median_is_the_same() -> None:
    for seed in range(20):
        assert [one.name for one in changes(seed, 1, 1.5) if one.worse] == ["bulk_send, P95"]


def test_as_few_blocks_as_are_compared_can_show_something() -> None:
    operations = plan.operations(plan.catalogue().scenario("sustained-clients"), plan.catalogue())
    names = [f"{name}{mark}" for name in operations for mark in ("", P95)]
    before, after = runs.run(), runs.run()
    few = list(range(10, 10 + compare.LEAST_BLOCKS))
    before.blocks = {name: [float(one) for one in few] for name in [*names, "calls/s"]}
    after.blocks = before.blocks | {"bulk_send": [100.0 + one for one in few]}
    assert worse(before, after) == ["bulk_send"]


def test_an_operation_that_is_no_longer_answered_is_worse() -> None:
    before, after = measured(), measured()
    del after.blocks["bulk_send"], after.blocks["bulk_send, P95"]
    assert worse(before, after) == ["bulk_send, right answers"]
    assert worse(after, before) == []
    lost = after.steps[0].operations["status_update"]
    lost.answered, lost.failed = 0, 1000
    assert worse(before, after) == ["bulk_send, right answers", "status_update, right answers"]


@pytest.mark.parametrize("how", ["failed", "dropped"])
@pytest.mark.parametrize("name", ["sustained-clients", "sustained-rates"])
def test_calls_without_an_answer_are_worse_from_one_of_a_thousand(how: str, name: str) -> None:
    before, after = measured(name=name), measured(name=name)
    one = after.steps[0].operations["status_update"]
    one.answered = before.steps[0].operations["status_update"].answered = 5000
    setattr(one, how, 4)
    one.answered -= 4
    assert worse(before, after) == []
    setattr(one, how, 40)
    one.answered -= 36
    assert worse(before, after) == ["status_update, right answers"]


def test_calls_that_never_came_back_are_missing() -> None:
    before, after = measured(name="sustained-rates"), measured(name="sustained-rates")
    after.steps[0].operations["template_render"].answered -= 500
    assert worse(before, after) == ["template_render, right answers"]


def test_one_wrong_answer_more_is_worse() -> None:
    before, after = measured(), measured()
    after.wrong = 1
    assert worse(before, after) == ["wrong answers"]
    (wrong,) = [one for one in compare.compare(before, after) if one.name == "wrong answers"]
    assert (wrong.ratio, wrong.p) == (None, None)


def test_demands_that_are_no_longer_met_are_worse() -> None:
    before, after = measured(), measured()
    for one in (before, after):
        one.verdict = verdict.judge(one)
    assert worse(before, after) == []
    after.steps[0].operations["bulk_send"].p99_ms = 2001
    after.verdict = verdict.judge(after)
    assert worse(before, after) == ["demands met"]


def test_runs_are_compared_whatever_was_demanded_and_said() -> None:
    before, after = measured(), measured()
    told = {"about": "The same", "demand": plan.Demand(success=0.5)}
    after.scenario = after.scenario.model_copy(update=told)
    assert worse(before, after) == []
    after.scenario = after.scenario.model_copy(update={"clients": 10})
    with pytest.raises(RefusedError, match="same options"):
        compare.compare(before, after)


def test_different_scenarios_are_not_compared() -> None:
    with pytest.raises(RefusedError, match="not the same scenario"):
        compare.compare(runs.run(), runs.run("sustained-rates"))


def test_short_runs_are_not_compared() -> None:
    with pytest.raises(RefusedError, match="too short"):
        compare.compare(runs.run(), runs.run())


def test_the_page_draws_what_was_measured_and_escapes_it() -> None:
    found = runs.run()
    found.series = {"calls/s <b>": [(0, 1.0), (1, 2.0)], "pool clients": [(0, None)]}
    page = report.page(found)
    assert page.count("<polyline") == 1
    assert "&lt;b&gt;" in page
    assert "https://" not in page


def test_many_lines_look_different_in_chart_and_legend() -> None:
    lines = {f"pg-{n}": [(0, 1.0), (1, 2.0)] for n in range(24)}
    drawn = charts.chart("CPU", "cores", lines)
    looks = re.findall(r'stroke="(#\w+)" stroke-width="1.5" stroke-dasharray="([^"]+)"', drawn)
    assert len(set(looks)) == len(looks) == 24
    assert len(set(re.findall(r'style="([^"]+)"', drawn))) == 24


def test_thousands_of_clients_do_not_flatten_five_connections() -> None:
    found = runs.run()
    values = {"pool clients": 2000.0, "pool waiting": 1900.0, "pool active": 5.0}
    found.series = {name: [(0, each), (1, each)] for name, each in values.items()}
    assert report.page(found).count("<figure>") == 3
