"""What each step of a restore of the cluster took is kept, whoever goes on with it, and told."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from guestcomms import cluster_restore, health, paths, restore_record
from guestcomms.cli import restore_cluster
from guestcomms.restore_record import Ledger

from tests.unit.cli.test_restore_cluster import RECORD, OneMachine, Store


def test_the_steps_of_all_calls_are_in_the_document(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(paths, "evidence", lambda name: tmp_path / name)
    monkeypatch.setattr(restore_record, "agent", Store())
    monkeypatch.setattr(health, "ask", lambda _: SimpleNamespace(leader="pg-2"))
    told: list[tuple[str, str, Any]] = []

    def agent(_stack: object, machine: str, action: str, *_: object, **said: Any) -> dict[str, Any]:
        told.append((machine, action, said["told"]))
        return {}

    monkeypatch.setattr(cluster_restore, "agent", agent)
    stack: Any = OneMachine()
    interrupted = [True]

    def call(ledger: Ledger) -> None:
        def copy() -> None:
            if interrupted.pop():
                raise KeyboardInterrupt
            ledger.save(step="copied")

        steps = {
            "copied": ("Copy", copy),
            "done": ("Back up", lambda: ledger.save(step="done")),
        }
        monkeypatch.setattr(restore_cluster, "_steps", lambda *_, **__: steps)
        restore_cluster._go_on(stack, ledger, 1, look=False, copy=False, yes=True)

    first, second = Ledger(stack), Ledger(stack)
    with pytest.raises(KeyboardInterrupt), first.held(begin=RECORD):
        call(first)
    assert told == []
    interrupted.append(False)
    with second.held():
        call(second)
    ((machine, action, document),) = told
    assert (machine, action, document["started_at"]) == (
        "pg-2", "document", "2026-01-02T03:04:05+00:00",
    )  # fmt: skip
    assert [(one["name"], one["outcome"]) for one in document["stages"]] == [
        ("Copy", "interrupted"), ("Copy", "done"), ("Back up", "done"),
    ]  # fmt: skip
    with second.held():  # done, and perhaps nobody heard of it: it is told again
        call(second)
    assert told[1] == told[0]
