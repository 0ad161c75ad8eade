"""What the health gate says of the reports that agents give."""

from __future__ import annotations

from infra.gate import confirming, missing_confirmation


def _health(**standbys: str) -> dict[str, object]:
    return {"replication": [{"name": n, "sync_state": state} for n, state in standbys.items()]}


def test_a_machine_waits_while_nobody_else_confirms_commits() -> None:
    health = _health(a="quorum", b="async")
    assert missing_confirmation(health, "a") == ["no other standby is synchronous yet"]
    assert missing_confirmation(health, "b") == []
    assert missing_confirmation(_health(a="quorum", b="quorum"), "a") == []
    assert missing_confirmation(_health(b="sync"), "a") == []


def test_asynchronous_replication_has_nothing_to_wait_for() -> None:
    assert confirming(_health(a="async", b="async")) == []
    assert confirming(_health(a="quorum", b="potential")) == ["a"]
