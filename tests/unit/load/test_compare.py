from __future__ import annotations

import pytest
from guestcomms.errors import RefusedError
from guestcomms.load import capacity, compare, report

from tests.unit.load import runs


def test_the_p_value_is_scipy_s() -> None:
    # scipy.stats.mannwhitneyu(x, y, method="asymptotic").pvalue; ages from SciPy's documentation
    males, females = [19, 22, 16, 29, 24], [20, 11, 17, 12]
    assert compare.mann_whitney(males, females) == pytest.approx(0.11134688653314041)
    assert compare.mann_whitney([1, 1, 1], [1, 1, 1]) == 1


def changes(seed: int, factor: float) -> list[compare.Change]:
    before, after = runs.run(), runs.run()
    before.blocks, after.blocks = runs.blocks(seed), runs.blocks(seed + 1000, factor)
    return compare.compare(before, after)


def test_equal_runs_are_the_same_and_a_fifth_more_is_worse() -> None:
    equal = [one for seed in range(100) for one in changes(seed, 1) if one.worse or one.better]
    assert equal == []
    slower = [changes(seed, 1.2) for seed in range(100)]
    assert all([one.name for one in each if one.worse] == ["bulk_send"] for each in slower)


def test_what_got_faster_is_better() -> None:
    (faster,) = [one for one in changes(1, 0.7) if one.better]
    assert faster.name == "bulk_send"


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


def test_capacity_grows_with_volume_and_shows_its_inputs() -> None:
    limit = runs.run("break-point")
    limit.limit = 2
    found = capacity.figures(runs.run("sustained-rates"), limit)
    assert [one["multiple"] for one in found["sizes"]] == [1, 10, 100, 1000]
    assert found["sizes"][1]["cores"] == pytest.approx(0.4 * 10 / 0.6)
    assert found["sizes"][3]["primaries"] == 7
    assert "| 1000x | 666.7 | 7 x 96 |" in capacity.page(found)


def test_capacity_of_a_run_without_a_cluster_is_refused() -> None:
    limit = runs.run("break-point")
    with pytest.raises(RefusedError, match="take a run of"):
        capacity.figures(runs.run("sustained-rates"), limit)
