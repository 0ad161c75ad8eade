from __future__ import annotations

import pytest
from guestcomms.errors import UsageError
from guestcomms.load import plan

FOUND = plan.catalogue()


def test_the_weights_are_those_of_the_targets() -> None:
    order, counts = plan.mix(FOUND)
    assert counts == {
        "bulk_send": 5, "template_render": 30, "recipient_query": 30, "status_update": 35,
    }  # fmt: skip
    assert len(set(order)) == len(order) == 100
    assert max(FOUND.tenants) >= 10_000
    assert min(FOUND.tenants) < max(FOUND.tenants) / 10


@pytest.mark.parametrize("name", FOUND.scenarios)
def test_no_threshold_passes_without_samples(name: str) -> None:
    scenario = FOUND.scenario(name)
    thresholds = plan.k6_options(scenario, FOUND)["thresholds"]
    for operation in plan.operations(scenario, FOUND):
        assert thresholds[f"answered{{op:{operation}}}"] == ["count>=1"]


@pytest.mark.parametrize("name", FOUND.scenarios)
def test_the_measured_part_begins_after_warm_up_and_ends_with_the_load(name: str) -> None:
    scenario = FOUND.scenario(name)
    found = plan.windows(scenario)
    assert found[0].begin > 0
    assert [one.end for one in found[:-1]] == [one.begin for one in found[1:]]
    stages = next(iter(plan.k6_options(scenario, FOUND)["scenarios"].values()))["stages"]
    assert sum(int(one["duration"][:-2]) for one in stages if one["duration"] != "0s") == round(
        plan.duration(scenario) * 1000
    )


def test_a_smaller_run_demands_its_own_clients() -> None:
    small = plan.scaled(FOUND.scenario("sustained-clients"), clients=20, seconds=9)
    assert (small.clients, small.demand.clients) == (20, 20)
    assert plan.duration(small) == pytest.approx(9)
    assert FOUND.scenario("sustained-clients").demand.clients == 2000


def test_a_run_of_rates_has_enough_to_send() -> None:
    scenario = FOUND.scenario("sustained-rates")
    minutes = plan.duration(scenario) / 60
    need = plan.needed(scenario, FOUND)
    assert need["messages"] >= minutes * FOUND.per_minute["send"] * FOUND.sizes["send"]
    assert need["slices"] >= minutes * FOUND.per_minute["bulk_send"]


def test_an_unknown_scenario_names_those_there_are() -> None:
    with pytest.raises(UsageError, match=r"no scenario 'x'.*sustained-clients"):
        FOUND.scenario("x")
