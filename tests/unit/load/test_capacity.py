"""What larger volumes need, by the arithmetic that the page shows."""

from __future__ import annotations

import pytest
from guestcomms.errors import RefusedError
from guestcomms.load import capacity
from guestcomms.load.result import Result

from tests.unit.load import runs


def limit(multiple: float = 2) -> Result:
    found = runs.run("break-point")
    found.limit = multiple
    return found


def test_it_grows_with_volume_and_shows_its_inputs() -> None:
    found = capacity.figures(runs.run("sustained-rates"), limit())
    assert [one["multiple"] for one in found["sizes"]] == [1, 10, 100, 1000]
    ten, thousand = found["sizes"][1], found["sizes"][3]
    # The leader's machine is PostgreSQL and the pooler beside it.
    assert ten["cores"] == pytest.approx((0.4 + 0.2) * 10 / 0.6)
    assert ten["standby_cores"] == pytest.approx(0.1 * 10 / 0.6)
    assert ten["proxy_cores"] == pytest.approx(0.05 * 10 / 0.6)
    assert ten["connections_gib"] == pytest.approx(134 * 10 * 2**20 / 2**30)
    assert (ten["blocks_per_second"], ten["fsyncs_per_second"]) == (5100, 1000)
    # 100 renders of 0.5 ms beside 30 calls of 5 ms; what runs inside of them is not counted twice.
    assert ten["replica_cores"] == pytest.approx(0.25 * 0.4 * 10 / 0.6)
    assert thousand["primaries"] == 11
    # One primary ends at 96 times; who has a quarter of all calls, fills it at 384 times.
    assert found["one_primary"] == pytest.approx(96)
    assert found["largest"]["0.25"] == pytest.approx(384)
    assert thousand["largest_share"] == pytest.approx(0.096)
    page = capacity.page(found)
    assert "| 1000x | 1,000.0 | 11 x 91 | 166.7 | 83.3 | 13,334 |" in page
    assert "| 25% | 384x |" in page
    assert "| 28% (as in the load runs) | 348x |" in page
    assert "25% of the 0.40 cores" in page
    assert "10,240 KiB for each process of PostgreSQL" in page


def test_a_run_at_less_than_the_promised_rates_is_divided_by_its_own() -> None:
    rates = runs.run("sustained-rates")
    rates.steps[0].rate = 0.5
    for one in rates.steps[0].operations.values():
        one.per_second /= 2
    found = capacity.figures(rates, limit())
    assert found["sizes"][0]["cores"] == pytest.approx(2 * 0.6 / 0.6)
    assert found["inputs"]["functions"]["bulk_send"]["per_second"] == pytest.approx(30 / 60 / 0.5)
    assert "sustained-rates --rate 0.5`" in capacity.page(found)


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ({"dropped": 1}, "1 calls dropped"),
        ({"failed": 500}, "success 99."),
        ({"per_second": 1.0}, "template_render 1.00 of 833.33 calls/s"),
    ],
)
def test_what_was_not_done_is_no_cost(what: dict[str, float], said: str) -> None:
    rates = runs.run("sustained-rates")
    for name, value in what.items():
        setattr(rates.steps[0].operations["template_render"], name, value)
    with pytest.raises(RefusedError, match=said):
        capacity.figures(rates, limit())


def test_without_a_cluster_there_are_no_inputs() -> None:
    without = runs.run("break-point")
    with pytest.raises(RefusedError, match="take a run of"):
        capacity.figures(runs.run("sustained-rates"), without)
    with pytest.raises(RefusedError, match="take a run of"):
        capacity.figures(runs.run("sustained-rates", leader="pg-9"), limit())
