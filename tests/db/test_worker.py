"""The worker program against a real database: one attempt each, whatever happens to it."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from guestcomms import db

from tests.db.server import Database
from tests.db.test_pooler import CONFIGURATION, pooler
from tests.db.two_tenants import Tenant, make_guests, queue_all
from tests.waiting import wait_until

GUESTS = 60


@dataclass
class Desk:
    """A campaign that is queued, the file of attempts, and workers."""

    database: Database
    tenant: Tenant
    sink: Path
    stack: ExitStack
    dsn: str = ""
    workers: list[subprocess.Popen[str]] = field(default_factory=list)

    def start(self, *options: str, misbehave: str = "") -> subprocess.Popen[str]:
        provider = f"file:{self.sink}?content=no{misbehave}"
        command = [sys.executable, "-m", "guestcomms.cli", "worker", "run", "--json"]
        process = subprocess.Popen(
            [*command, "--provider", provider, "--lease", "6", "--poll", "0.2", *options],
            env={
                **os.environ,
                "GUESTCOMMS_DSN": self.dsn or self.database.dsn("wedsync_worker"),
            },
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.stack.enter_context(process)
        self.stack.callback(process.kill)
        return process

    def drain(self) -> None:
        """Send what is left, with a worker that nothing happens to."""
        worker = self.start()
        wait_until(lambda: not self.open(), 30)
        worker.terminate()
        # It may be told before it has begun: others had left it nothing.
        assert worker.wait(20) in {0, -signal.SIGTERM}

    def attempts(self) -> Counter[str]:
        if not self.sink.exists():
            return Counter()
        lines = self.sink.read_text().splitlines()
        return Counter(json.loads(line)["recipient_id"] for line in lines)

    def states(self) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        with self.database.connect() as connection:
            query = "SELECT id::text, status FROM communication_recipients"
            for row in db.rows(connection, query):
                found.setdefault(row["status"], set()).add(row["id"])
        return found

    def open(self) -> int:
        return sum(len(self.states().get(state, ())) for state in ("queued", "sending"))

    def wait_for(self, attempts: int) -> None:
        wait_until(lambda: len(self.attempts()) >= attempts, 20)


@pytest.fixture
def desk(database: Database, tmp_path: Path) -> Iterator[Desk]:
    database.execute("SELECT set_login_unrestricted('wedsync_worker', true, 'x')", "wedsync_ops")
    organization = database.value(
        "SELECT (create_organization(NULL, 'A', 'UTC', '{wedsync_app}')).organization_id::text",
        "wedsync_ops",
    )
    tenant = Tenant(str(organization), "wedsync_app")
    make_guests(database, tenant, GUESTS)
    queue_all(database, tenant)
    with ExitStack() as stack:
        yield Desk(database, tenant, tmp_path / "sink.jsonl", stack)


def ended(worker: subprocess.Popen[str]) -> tuple[int, str, str]:
    out, err = worker.communicate(timeout=30)
    return worker.returncode, out, err


def test_everybody_gets_one_message(desk: Desk) -> None:
    code, out, err = ended(desk.start("--once", "--slice", "25"))
    assert (code, json.loads(out)) == (0, {"sent": GUESTS}), err
    assert set(desk.attempts().values()) == {1}
    assert desk.states() == {"sent": set(desk.attempts())}


def test_a_worker_of_another_channel_leaves_it_alone(desk: Desk) -> None:
    code, out, err = ended(desk.start("--once", "--channel", "sms", "--channel", "push"))
    assert (code, json.loads(out)) == (0, {}), err
    assert len(desk.states()["queued"]) == GUESTS
    code, _, err = ended(desk.start("--once", "--channel", "fax"))
    assert (code, "No provider carries 'fax'; they carry: email" in err) == (2, True), err
    code, out, err = ended(desk.start("--once", "--channel", "email"))
    assert (code, json.loads(out)) == (0, {"sent": GUESTS}), err


def test_what_was_rendered_is_what_was_queued(desk: Desk) -> None:
    desk.start("--once").wait(30)
    line = json.loads(desk.sink.read_text().splitlines()[0])
    assert line["subject"] == f"For {line['name']}"
    assert line["address"].endswith("@wedsync-app.example.org")
    assert line["sender_address"] == "we@example.org"
    assert line["unsubscribe_url"].startswith("https://example.org/u")


def test_every_outcome_has_its_state(desk: Desk) -> None:
    worker = desk.start("--once", misbehave="&permanent=0.3&unknown=0.3&temporary=0.3")
    _, out, err = ended(worker)
    totals, states = json.loads(out), desk.states()
    assert sum(totals.values()) == GUESTS, err
    kinds = {"sent": "sent", "failed": "permanent", "unknown": "unknown", "queued": "temporary"}
    assert {state: len(ids) for state, ids in states.items()} == {
        state: totals[kind] for state, kind in kinds.items() if kind in totals
    }


def test_a_graceful_stop_leaves_nothing_ambiguous(desk: Desk) -> None:
    worker = desk.start(misbehave="&delay=0.05")
    desk.wait_for(5)
    worker.terminate()
    code, out, err = ended(worker)
    sent, states = set(desk.attempts()), desk.states()
    assert (code, json.loads(out)) == (0, {"sent": len(sent)}), err
    assert states["sent"] == sent
    assert len(states["queued"]) == GUESTS - len(sent) > 0
    desk.drain()
    assert desk.attempts() == Counter(dict.fromkeys(desk.states()["sent"], 1))
    assert len(desk.attempts()) == GUESTS


def test_a_killed_worker_leaves_unknowns_that_nobody_sends_again(desk: Desk) -> None:
    worker = desk.start("--slice", "20", misbehave="&delay=0.05")
    desk.wait_for(25)
    worker.kill()
    worker.wait()
    before = set(desk.attempts())
    desk.drain()
    states = desk.states()
    assert set(states) == {"sent", "unknown"}
    assert len(states["unknown"]) == 20
    assert states["unknown"] & before  # attempted in the slice that was never answered for
    assert states["unknown"] - set(desk.attempts())  # handed out and never attempted
    assert set(desk.attempts().values()) == {1}
    assert states["sent"] <= set(desk.attempts())


def test_a_worker_that_dies_on_the_way_is_the_same(desk: Desk) -> None:
    worker = desk.start("--slice", "7", misbehave="&die=0.2")
    assert worker.wait(30) == -signal.SIGKILL
    desk.drain()
    assert len(desk.states()["unknown"]) == 7
    assert set(desk.attempts().values()) == {1}


def test_a_second_signal_ends_it_at_once(desk: Desk) -> None:
    worker = desk.start("--lease", "12", misbehave="&delay=2")
    desk.wait_for(1)  # the second one is on its way now
    worker.terminate()
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(0.5)
    worker.terminate()
    assert worker.wait(1) == -signal.SIGTERM


def outage(database: Database) -> None:
    """Nobody is connected and nobody gets in, as while a leader fails over."""
    database.server.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS false")
    dsn = database.server.dsn("postgres")
    with db.connect(dsn, application_name="tests", autocommit=True) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s",
            (database.name,),
        )


def end_outage(database: Database) -> None:
    database.server.execute(f"ALTER DATABASE {database.name} ALLOW_CONNECTIONS true")


def test_results_in_hand_survive_an_outage(desk: Desk) -> None:
    worker = desk.start("--slice", "20", misbehave="&delay=0.03")
    desk.wait_for(5)
    outage(desk.database)
    desk.wait_for(20)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(1)
    end_outage(desk.database)
    wait_until(lambda: len(desk.states().get("sent", ())) == GUESTS, 30)
    worker.terminate()
    code, _, err = ended(worker)
    assert code == 0
    assert "No connection" in err or "No answer" in err
    assert set(desk.attempts().values()) == {1}


def test_an_outage_longer_than_the_lease_loses_no_result(desk: Desk) -> None:
    worker = desk.start("--slice", "20", "--lease", "4", misbehave="&delay=0.03")
    desk.wait_for(5)
    outage(desk.database)
    desk.wait_for(20)
    with pytest.raises(subprocess.TimeoutExpired):
        worker.wait(4)
    end_outage(desk.database)
    desk.drain()
    worker.terminate()
    assert worker.wait(20) == 0
    assert set(desk.attempts().values()) == {1}
    assert desk.states()["sent"] == set(desk.attempts())


def end_all_leases(database: Database) -> None:
    """As if every worker had been silent for too long, and another one came by."""
    database.execute(
        "UPDATE communication_batch_queue SET lease_until = now() - interval '1 s'"
        " WHERE state = 'leased'"
    )
    database.value("SELECT internal.reap_leases()")


def test_what_a_worker_knows_after_its_lease_comes_as_events(desk: Desk) -> None:
    worker = desk.start("--slice", "20", misbehave="&delay=0.1")
    desk.wait_for(3)
    end_all_leases(desk.database)
    assert len(desk.states()["unknown"]) == 20
    worker.terminate()
    code, _, err = ended(worker)
    assert code == 0, err
    assert desk.states()["sent"] == set(desk.attempts())
    assert len(desk.states()["unknown"]) == 20 - len(desk.attempts())


def test_a_slow_provider_does_not_cost_the_lease(desk: Desk) -> None:
    worker = desk.start("--slice", "60", "--lease", "4", "--once", misbehave="&delay=0.12")
    code, out, err = ended(worker)
    assert (code, json.loads(out)) == (0, {"sent": GUESTS}), err


def test_it_works_through_a_transaction_pooler(desk: Desk) -> None:
    server = desk.database.server
    address = f"{server.host}:{server.pooler_port}"
    desk.dsn = f"postgresql://wedsync_worker@{address}/{desk.database.name}"
    configuration = CONFIGURATION.replace("port=5432", "port=5432 user=wedsync_worker")
    with pooler(server, configuration):
        wait_until(lambda: answers(desk.dsn))
        workers = [desk.start("--once", "--slice", "10") for _ in range(3)]
        assert [ended(worker)[0] for worker in workers] == [0, 0, 0]
        assert set(desk.attempts().values()) == {1}
        assert len(desk.states()["sent"]) == GUESTS


def answers(dsn: str) -> bool:
    try:
        with db.connect(dsn, application_name="tests"):
            return True
    except Exception:  # noqa: BLE001 - whatever it is, it does not answer yet
        return False


def test_a_login_without_the_right_is_told_so(desk: Desk) -> None:
    desk.database.execute("REVOKE EXECUTE ON FUNCTION claim_batches FROM comms_worker")
    code, _, err = ended(desk.start("--once"))
    assert code == 5
    sentence = "The database refused a worker's call: permission denied for function claim_batches"
    assert sentence in " ".join(err.split())


def test_a_login_that_may_act_for_nobody_harms_no_message(desk: Desk) -> None:
    desk.database.execute(
        "SELECT set_login_unrestricted('wedsync_worker', false, NULL)", "wedsync_ops"
    )
    code, _, err = ended(desk.start())
    assert code == 5
    assert "may not act for organization" in " ".join(err.split())
    assert len(desk.states()["queued"]) == GUESTS
    query = "SELECT sum(attempts) FROM communication_batch_queue"
    assert desk.database.value(query) == 0


def test_a_database_that_is_not_there_is_told_at_the_start(desk: Desk) -> None:
    desk.dsn = desk.database.server.dsn("nosuch", "wedsync_worker")
    code, _, err = ended(desk.start())
    assert code == 3
    assert "No connection to database nosuch" in " ".join(err.split())
