"""Two tenants at once, workers killed at random, events in disorder: the account comes out even."""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from tests.db.server import Database, Server
from tests.db.two_tenants import Run, Size, figures, run, violations

SIZE = Size()


@pytest.fixture(scope="module")
def database_of_the_run(server: Server) -> Iterator[Database]:
    database = server.clone("template_full", "test_two_tenants")
    yield database
    database.drop()


@pytest.fixture(scope="module")
def done(database_of_the_run: Database, tmp_path_factory: pytest.TempPathFactory) -> Run:
    return run(database_of_the_run, SIZE, tmp_path_factory.mktemp("run"))


def test_the_account_comes_out_even(done: Run, database_of_the_run: Database) -> None:
    assert violations(database_of_the_run, done, SIZE.guests) == []
    found = figures(database_of_the_run, done)
    print(json.dumps(found, indent=2))  # noqa: T201 - the figures belong to the report
    assert found["workers_killed"] > 0
    assert found["states"]["unknown"] > 0
    assert found["events_given"] > found["events_distinct"]


def test_mutation_one_attempt_more_is_seen(done: Run, database_of_the_run: Database) -> None:
    lines = done.sink.read_text()
    again = lines.splitlines()[len(lines.splitlines()) // 2]
    done.sink.write_text(f"{lines}{again}\n")
    try:
        wrong = violations(database_of_the_run, done, SIZE.guests)
    finally:
        done.sink.write_text(lines)
    assert f"2 attempts for {json.loads(again)['recipient_id']}" in wrong


def test_mutation_one_attempt_less_is_seen(done: Run, database_of_the_run: Database) -> None:
    lines = done.sink.read_text()
    told = {event["recipient_id"] for event in done.fed.values()}
    kept = lines.splitlines(keepends=True)
    missing = next(line for line in kept if json.loads(line)["recipient_id"] in told)
    kept.remove(missing)
    done.sink.write_text("".join(kept))
    try:
        wrong = violations(database_of_the_run, done, SIZE.guests)
    finally:
        done.sink.write_text(lines)
    assert any(f"{json.loads(missing)['recipient_id']} is " in one for one in wrong)


@pytest.mark.parametrize(
    ("change", "back"),
    [
        (
            "UPDATE guest_communications SET sent_count = sent_count + 1",
            "UPDATE guest_communications SET sent_count = sent_count - 1",
        ),
        (
            "CREATE POLICY leak ON communication_recipients FOR SELECT TO comms_app USING (true)",
            "DROP POLICY leak ON communication_recipients",
        ),
    ],
    ids=["a wrong counter", "a leak"],
)
def test_mutation_in_the_database_is_seen(
    done: Run, database_of_the_run: Database, change: str, back: str
) -> None:
    database_of_the_run.execute(change)
    try:
        assert violations(database_of_the_run, done, SIZE.guests)
    finally:
        database_of_the_run.execute(back)
    assert violations(database_of_the_run, done, SIZE.guests) == []
