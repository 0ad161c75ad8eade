"""The record of what people were told, and the watch over the monitor."""

from __future__ import annotations

import json
import threading
import urllib.error
import urllib.request
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from infra.agent import alerts, monitor
from infra.agent.errors import AgentError

NOW = datetime(2026, 3, 1, 12, 0, tzinfo=UTC)
MESSAGE = {
    "version": "4",
    "status": "firing",
    "alerts": [
        {"status": "firing", "labels": {"alertname": "A"}, "annotations": {"summary": "s"},
         "startsAt": "2026-03-01T11:59:00Z", "endsAt": "0001-01-01T00:00:00Z"},
        {"status": "resolved", "labels": {"alertname": "B"}, "annotations": {},
         "startsAt": "2026-03-01T11:00:00Z", "endsAt": "2026-03-01T11:58:00Z"},
    ],
}  # fmt: skip


def test_a_message_becomes_a_line_for_each_alert() -> None:
    first, second = alerts.lines_of(json.dumps(MESSAGE).encode(), NOW)
    assert (first["labels"], first["status"], first["ends_at"]) == (
        {"alertname": "A"},
        "firing",
        None,
    )
    assert (second["status"], second["ends_at"]) == ("resolved", "2026-03-01T11:58:00Z")
    assert first["received_at"] == "2026-03-01T12:00:00.000+00:00"


@pytest.mark.parametrize("message", [b"", b"[]", b"{}", b'{"alerts": 1}', b'{"alerts": [1]}'])
def test_what_is_no_message_is_refused(message: bytes) -> None:
    with pytest.raises(AgentError):
        alerts.lines_of(message, NOW)


def test_a_full_record_is_turned_over_once(tmp_path: Path) -> None:
    path = tmp_path / "received.jsonl"
    record = alerts.Record(path, turn_over_bytes=100)
    for number in range(30):
        record.write([{"number": number}])
    kept = [
        json.loads(line)["number"]
        for file in (path.with_name("received.jsonl.1"), path)
        for line in file.read_text().splitlines()
    ]
    assert kept == list(range(30 - len(kept), 30))
    assert 5 < len(kept) < 20


def test_it_listens_and_writes_down(tmp_path: Path, unused_port: int) -> None:
    stop, path = threading.Event(), tmp_path / "received.jsonl"
    thread = threading.Thread(target=alerts.serve, args=(unused_port, path, stop))
    thread.start()
    try:
        assert post(unused_port, json.dumps(MESSAGE).encode()) == 204
        assert post(unused_port, b"nonsense") == 400
    finally:
        stop.set()
        thread.join()
    assert [json.loads(line)["status"] for line in path.read_text().splitlines()] == [
        "firing",
        "resolved",
    ]


def post(port: int, body: bytes) -> int:
    for _ in range(50):
        try:
            with urllib.request.urlopen(f"http://127.0.0.1:{port}/", body, timeout=5) as answer:
                return int(answer.status)
        except urllib.error.HTTPError as error:
            error.close()
            return error.code
        except urllib.error.URLError:
            threading.Event().wait(0.05)
    raise AssertionError("nobody listens")


@pytest.fixture
def unused_port() -> int:
    import socket

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def watchdog(age: float) -> list[dict[str, Any]]:
    return [{"updatedAt": (NOW - timedelta(seconds=age)).isoformat()}]


def test_a_monitor_that_renews_its_watchdog_is_alive() -> None:
    assert monitor.judge(watchdog(60), NOW)["alive"] is True


@pytest.mark.parametrize(
    ("said", "problem"),
    [([], "does not fire"), (watchdog(200), "not renewed the alert Watchdog for 200 s")],
)
def test_a_monitor_without_a_fresh_watchdog_is_dead(said: list[Any], problem: str) -> None:
    seen = monitor.judge(said, NOW)
    assert seen["alive"] is False
    assert problem in seen["problem"]


def test_a_monitor_that_does_not_answer_is_dead(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*_: object, **__: object) -> None:
        raise ConnectionRefusedError("refused")

    monkeypatch.setattr("infra.agent.patroni.request", refused)
    assert "refused" in monitor.look()["problem"]
    with pytest.raises(AgentError, match="no alert gets through"):
        monitor.step()
