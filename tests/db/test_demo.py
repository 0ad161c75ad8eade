"""`guestcomms demo`: all of it on a real database, once and again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from guestcomms.cli.__main__ import main

from tests.db import queue_calls
from tests.db.server import Database


def demo(database: Database, sink: Path, *more: str) -> int:
    ways = [
        word
        for role in ("app", "worker", "ops")
        for word in (f"--{role}-dsn", database.dsn(f"wedsync_{role}"))
    ]
    return main(["demo", *ways, "--sink", str(sink), *more])


def test_it_shows_a_campaign_and_a_second_run_sends_nothing(
    database: Database, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    sink = tmp_path / "demo" / "sink.jsonl"
    assert demo(database, sink) == 0
    shown = capfd.readouterr().out
    assert "Anna & Béla: Save the date" in shown
    assert "anna-bela.guest.0" in shown
    assert "hard_bounce" in shown
    assert "complaint" in shown
    assert sink.with_name("anna-bela.html").as_uri() in shown
    first = sink.read_text()
    assert demo(database, sink, "--json") == 0
    again: list[dict[str, Any]] = json.loads(capfd.readouterr().out)
    assert sink.read_text() == first
    assert len(first.splitlines()) == 350
    assert [one["progress"]["total"] for one in again] == [200, 150]
    assert all(one["progress"]["opened"] > 0 for one in again)


def test_the_page_is_a_whole_message(database: Database, tmp_path: Path) -> None:
    sink = tmp_path / "sink.jsonl"
    assert demo(database, sink) == 0
    page = sink.with_name("anna-bela.html").read_text(encoding="utf-8")
    assert "{{" not in page
    assert "Anna &amp; Béla" in page
    lines = [json.loads(line) for line in sink.read_text(encoding="utf-8").splitlines()]
    assert any(line["name"] in page for line in lines if line["sender_name"] == "Anna & Béla")
    assert "https://weddings.example.org/anna-bela/rsvp/unsubscribe" in page


def test_messages_of_others_are_not_written_into_its_file(
    database: Database, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    organization = queue_calls.organization(database)
    with database.connect() as connection:
        queue_calls.queue(connection, organization, 3)
    assert demo(database, tmp_path / "sink") == 5
    assert "1 chunks of other organizations wait in the queue" in " ".join(
        capfd.readouterr().err.split()
    )
    assert not (tmp_path / "sink").exists()
