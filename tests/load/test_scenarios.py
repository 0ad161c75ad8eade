"""Every scenario for ten seconds, small; and broken systems, of which each has to be noticed."""

from __future__ import annotations

import json
import os
import re
import signal
import sys
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from guestcomms import db
from guestcomms.load import capacity, data, plan, report, result, runner
from guestcomms.load.result import Result
from guestcomms.load.target import Target

from tests.db.server import Database
from tests.load.conftest import CATALOGUE
from tests.load.place import pooled
from tests.unit.load import runs


def perform(
    target: Target,
    tenants: data.Data,
    name: str,
    *,
    seconds: float = 6,
    rate: float = 0.05,
    **options: object,
) -> Result:
    """Run a scenario with few clients or at a low rate."""
    scenario = plan.catalogue().scenario(name)
    closed = scenario.model == "closed"
    scaled = plan.scaled(
        scenario, seconds=seconds, clients=20 if closed else None, rate=None if closed else rate
    )
    run = runner.Run(name, scaled, CATALOGUE, **options)  # type: ignore[arg-type]
    return runner.perform(target, run, tenants, lambda _: None)


@pytest.mark.parametrize("name", CATALOGUE.scenarios)
def test_every_call_is_answered_rightly(target: Target, tenants: data.Data, name: str) -> None:
    found = perform(target, tenants, name, seconds=10)
    assert found.errors == {}
    # 99: an operation that comes once or twice a minute did not come at all.
    closed = plan.catalogue().scenario(name).model == "closed"
    assert found.generator["exit_code"] in ({0} if closed else {0, 99})
    assert found.generator["cut_off"] == 0
    calls: dict[str, int] = {}
    for step in found.steps:
        for operation, one in step.operations.items():
            calls[operation] = calls.get(operation, 0) + one.answered
    # ramp-clients measures little more than a second of it.
    assert sum(calls.values()) >= 10
    # A call a minute or two comes rarely in ten seconds; the warm-up may have had it.
    assert all(calls[one] for one in calls if CATALOGUE.per_minute.get(one, 1000) >= 1000)
    assert max(value or 0 for _, value in found.series["pool clients"]) >= 1
    drawn = {"bytes a row", "dead rows %", "queue table MiB", "memory pgbouncer server"}
    assert drawn <= {name for name, points in found.series.items() if points[-1][1] is not None}
    assert found.server["database_samples"] >= 1
    assert found.server["memory"]["postgres"] > 2**20
    stored = result.store(found, target)
    with target.connect("ops") as ops:
        query = "SELECT count(*) FROM public.communication_load_metrics WHERE run_id = %s"
        assert db.one_value(ops, query, (found.run_id,)) == stored > 20
    assert "<polyline" in report.page(found)
    with target.connect("ops") as ops:
        queue = (
            "SELECT count(*) FROM public.communication_batch_queue WHERE operation_type = 'send'"
        )
        assert db.one_value(ops, queue) == 0, "the run left messages to be sent"


def test_a_pool_of_one_is_named(place: Database, tenants: data.Data) -> None:
    # Clients that call one after the other use it up, however fast the machine is.
    scenario = plan.scaled(CATALOGUE.scenario("sustained-clients"), clients=20, seconds=10)
    asked = scenario.model_copy(update={"demand": plan.Demand(pool_use=0.85)})
    with pooled(place, pool=1) as target:
        run = runner.Run("sustained-clients", asked, CATALOGUE)
        found = runner.perform(target, run, tenants, lambda _: None)
    assert "pool used, mean" in [one.what for one in found.verdict if not one.met]
    assert any(one.startswith("pool too small: its 1 connections") for one in found.causes)


def test_half_a_run_is_not_stored(target: Target, place: Database) -> None:
    found = runs.run()
    query = (
        f"SELECT count(*) FROM public.communication_load_metrics WHERE run_id = '{found.run_id}'"
    )
    found.server["waits"] = {"CPU": 1.0, "\x00": 0.0}  # no text that PostgreSQL takes
    with pytest.raises(db.DatabaseError):
        result.store(found, target)
    assert place.value(query) == 0


def test_what_capacity_gives_to_replicas_writes_nothing(target: Target, tenants: data.Data) -> None:
    one = next(tenant for tenant in tenants.tenants if tenant.queried)
    values = json.dumps(data.VARIABLES | {"guest_name": "Ann", "organization_name": "Ben"})
    calls = {
        "render_template": ("%s, %s, %s", (one.organization, one.template, values)),
        "list_recipients": ("%s, %s", (one.organization, one.queried)),
        "communication_progress": ("%s, %s", (one.organization, one.queried)),
    }
    assert set(calls) == set(capacity.READING)
    with target.connect("app") as app:
        for name, (places, given) in calls.items():
            with app.transaction():
                app.execute("SET TRANSACTION READ ONLY")
                call = f"SELECT * FROM public.{name}({places})"
                assert db.rows(app, call.encode(), given)


@contextmanager
def replaced(place: Database, name: str, old: str, new: str) -> Iterator[None]:
    """A function of the API with another body, for as long as a test needs it."""
    query = f"SELECT pg_get_functiondef(oid) FROM pg_proc WHERE proname = '{name}'"
    before = str(place.value(query))
    assert old in before
    place.execute(before.replace(old, new, 1))
    try:
        yield
    finally:
        place.execute(before)


def test_a_slow_function_is_named(place: Database, target: Target, tenants: data.Data) -> None:
    slow = "BEGIN\n    PERFORM pg_sleep(2.5);"
    with replaced(place, "record_delivery_events", "BEGIN", slow):
        found = perform(target, tenants, "sustained-clients")
    assert not found.met
    (cause,) = [one for one in found.causes if "Timeout/PgSleep" in one]
    assert "record_delivery_events()" in cause


def test_swapped_answers_are_named(target: Target, tenants: data.Data) -> None:
    # Two round trips a statement: between them the pooler gives the connection to somebody else.
    found = perform(target, tenants, "sustained-clients", exec_mode="describe_exec")
    assert not found.met
    assert found.causes[0].startswith("answers swapped between clients")


def test_another_s_answer_is_wrong(place: Database, target: Target, tenants: data.Data) -> None:
    eve = 'v_compiled, p_variables || \'{"guest_name": "Eve"}\')'
    with replaced(place, "render_template", "v_compiled, p_variables)", eve):
        found = perform(target, tenants, "sustained-clients")
    assert found.steps[0].operations["template_render"].answered == 0
    assert found.steps[0].wrong > 0
    assert not found.met


# As a quota of a control group does it: stopped for most of each period.
THROTTLE = """
import signal, subprocess, sys, time
child = subprocess.Popen(sys.argv[1:])
signal.signal(signal.SIGINT, lambda *_: child.send_signal(signal.SIGINT))
while child.poll() is None:
    time.sleep(0.1)
    child.send_signal(signal.SIGSTOP)
    time.sleep(0.4)
    child.send_signal(signal.SIGCONT)
sys.exit(child.returncode)
"""


def test_a_starved_generator_is_named(target: Target, tenants: data.Data) -> None:
    throttled = (sys.executable, "-c", THROTTLE)
    found = perform(target, tenants, "sustained-rates", prefix=throttled)
    assert not found.met
    assert found.causes[0].startswith("generator short of CPU"), found.generator


@pytest.mark.usefixtures("ctrl_c")
def test_an_interrupted_run_keeps_what_was_measured(target: Target, tenants: data.Data) -> None:
    scenario = plan.scaled(plan.catalogue().scenario("sustained-clients"), clients=20, seconds=90)

    said: list[str] = []

    def interrupt(text: str) -> None:
        if not said and re.match(r"\d+ of 90 s · [2-9] clients", text):
            said.append(text)
            os.kill(os.getpid(), signal.SIGINT)

    run = runner.Run("sustained-clients", scenario, CATALOGUE)
    found = runner.perform(target, run, tenants, interrupt)
    assert found.interrupted
    assert not found.met
    assert found.series["calls/s status_update"]
    assert result.load(str(found.file)) == found
