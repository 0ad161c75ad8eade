"""The loop: what is reported is true; what may have gone out is never given back."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, cast

import pytest
from guestcomms import db
from guestcomms.errors import RefusedError, UsageError
from guestcomms.worker import loop
from guestcomms.worker.loop import Settings, Worker
from guestcomms.worker.message import Message, Outcome
from guestcomms.worker.metrics import Metrics
from guestcomms.worker.queue import Claim, LeaseLostError, Queue, Result
from guestcomms.worker.stop import Stop

LOST = db.ConnectionLostError("No answer; look.")
SENT = Outcome("sent")


@dataclass
class FakeQueue:
    """One slice; each call does what the test put into its list first, then what it should."""

    messages: list[Message]
    troubles: dict[str, list[Exception]] = field(default_factory=dict)
    calls: list[str] = field(default_factory=list)
    told: dict[str, Outcome | None] = field(default_factory=dict)
    lease_seconds: float = 10.0
    claimed: bool = False
    channels: Sequence[str] = ()

    def trouble(self, call: str) -> None:
        self.calls.append(call)
        if waiting := self.troubles.get(call):
            raise waiting.pop(0)

    def claim(self, messages: int, lease_seconds: float, channels: Sequence[str]) -> Claim | None:
        self.trouble("claim")
        self.channels = channels
        if self.claimed:
            return None
        self.claimed = True
        assert messages >= len(self.messages)
        self.lease_seconds = min(self.lease_seconds, lease_seconds)
        return Claim("o", "b", "c", "t", self.ids(), self.lease_seconds, time.monotonic())

    def ids(self) -> list[str]:
        return [message.recipient_id for message in self.messages]

    def render(self, _claim: Claim) -> tuple[list[Message], list[Result]]:
        self.trouble("render")
        return list(self.messages), []

    def extend(self, claim: Claim) -> None:
        self.trouble("extend")
        claim.extended(time.monotonic())

    def complete(self, _claim: Claim, results: Sequence[Result]) -> None:
        self.trouble("complete")
        self.told = {result.recipient_id: result.outcome for result in results}

    def report_late(self, _claim: Claim, results: Sequence[Result]) -> None:
        self.trouble("late")
        self.told = {result.recipient_id: result.outcome for result in results}

    def fail(self, _claim: Claim, _error: str) -> None:
        self.trouble("fail")


class FakeProvider:
    name = "fake"
    channels = frozenset({"email"})
    longest_seconds = 0.1

    def __init__(self, *outcomes: Outcome | BaseException) -> None:
        self.outcomes, self.seen, self.closed = list(outcomes), list[str](), 0

    def send(self, message: Message) -> Outcome:
        self.seen.append(message.recipient_id)
        outcome = self.outcomes.pop(0) if self.outcomes else SENT
        if isinstance(outcome, BaseException):
            raise outcome
        return outcome

    def close(self) -> None:
        self.closed += 1


@pytest.fixture(autouse=True)
def _no_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "FIRST_PAUSE_SECONDS", 0.001)


@pytest.fixture
def queue(message: Message) -> FakeQueue:
    return FakeQueue([replace(message, recipient_id=str(number)) for number in range(3)])


def work(queue: FakeQueue, provider: Any, stop: Stop | None = None) -> dict[str, int]:
    settings = Settings(slice=3, lease_seconds=10, poll_seconds=0.01, once=True)
    routes = {"email": provider, "push": provider}
    return Worker(cast("Queue", queue), routes, settings, Metrics(None, "0"), stop or Stop()).run()


def kinds(queue: FakeQueue) -> list[str | None]:
    return [told.kind if told else None for _, told in sorted(queue.told.items())]


def test_every_outcome_is_reported(queue: FakeQueue) -> None:
    outcomes = Outcome("permanent"), Outcome("unknown"), Outcome("sent")
    assert work(queue, FakeProvider(*outcomes)) == {"permanent": 1, "unknown": 1, "sent": 1}
    assert kinds(queue) == ["permanent", "unknown", "sent"]


def test_a_stop_finishes_the_message_in_hand_and_returns_the_rest(queue: FakeQueue) -> None:
    stop, provider = Stop(), FakeProvider()
    send = provider.send

    def stopped(message: Message) -> Outcome:
        stop.ask()
        return send(message)

    provider.send = stopped  # type: ignore[method-assign]
    work(queue, provider, stop)
    assert kinds(queue) == ["sent", None, None]
    assert provider.closed == 1


def test_a_provider_that_cannot_be_reached_is_left_alone(queue: FakeQueue) -> None:
    work(queue, FakeProvider(Outcome("temporary", leave_alone_seconds=0.01)))
    assert kinds(queue) == ["temporary", None, None]


def test_a_refusal_stops_the_worker_and_attempts_nothing(queue: FakeQueue) -> None:
    with pytest.raises(RefusedError):
        work(queue, FakeProvider(SENT, RefusedError("The password is wrong; mend it.")))
    assert kinds(queue) == ["sent", None, None]


@pytest.mark.parametrize("error", [ValueError("a bug"), KeyboardInterrupt()])
def test_a_message_on_its_way_when_something_breaks_is_unknown(
    queue: FakeQueue, error: BaseException
) -> None:
    try:
        work(queue, FakeProvider(error))
    except KeyboardInterrupt:
        assert kinds(queue) == ["unknown", None, None]
    else:
        assert kinds(queue) == ["unknown", "sent", "sent"]


def test_results_in_hand_survive_a_lost_connection(queue: FakeQueue) -> None:
    queue.troubles = {"claim": [LOST], "render": [LOST], "complete": [LOST, LOST]}
    work(queue, provider := FakeProvider())
    assert kinds(queue) == ["sent"] * 3
    assert provider.seen == ["0", "1", "2"]
    assert queue.calls.count("complete") == 3


def test_a_lost_lease_makes_results_events(queue: FakeQueue) -> None:
    queue.troubles = {"complete": [LOST, LeaseLostError("Gone; look.")], "late": [LOST]}
    work(queue, FakeProvider())
    assert kinds(queue) == ["sent"] * 3
    assert queue.calls[-4:] == ["complete", "late", "late", "claim"]


def test_a_lease_lost_before_rendering_sends_nothing(queue: FakeQueue) -> None:
    queue.troubles = {"render": [LeaseLostError("Gone; look.")]}
    work(queue, provider := FakeProvider())
    assert provider.seen == []
    assert queue.calls == ["claim", "render", "claim"]


def test_nothing_is_sent_when_the_lease_may_have_ended(queue: FakeQueue) -> None:
    queue.lease_seconds = 1.05  # of which one is for safety
    queue.troubles = {"extend": [LOST] * 9}
    work(queue, provider := FakeProvider())
    assert provider.seen == []
    assert kinds(queue) == [None] * 3


def test_a_lease_is_extended_in_time(queue: FakeQueue) -> None:
    queue.lease_seconds = 1.5
    provider = FakeProvider()
    provider.longest_seconds = 0.05
    send = provider.send

    def slow(message: Message) -> Outcome:
        time.sleep(0.4)
        return send(message)

    provider.send = slow  # type: ignore[method-assign]
    work(queue, provider)
    assert kinds(queue) == ["sent"] * 3
    assert "extend" in queue.calls


def test_a_lease_lost_in_between_stops_the_slice(queue: FakeQueue) -> None:
    queue.lease_seconds = 1.2  # extended before every message
    queue.troubles = {
        "extend": [LeaseLostError("Gone; look.")],
        "complete": [LeaseLostError("Gone; look.")],
    }
    work(queue, provider := FakeProvider())
    assert provider.seen == []
    assert queue.calls[-2:] == ["late", "claim"]


def test_a_worker_that_may_not_render_stops_and_gives_back(queue: FakeQueue) -> None:
    queue.troubles = {"render": [RefusedError("No right; grant it.")]}
    with pytest.raises(RefusedError):
        work(queue, FakeProvider())
    assert kinds(queue) == [None] * 3


def test_a_slice_that_cannot_be_rendered_is_given_back(queue: FakeQueue) -> None:
    queue.troubles = {"render": [db.DatabaseError("a bug")]}
    work(queue, provider := FakeProvider())
    assert provider.seen == []
    assert queue.calls == ["claim", "render", "fail", "claim"]


def test_it_claims_the_channels_that_it_has_providers_for(queue: FakeQueue) -> None:
    work(queue, FakeProvider())
    assert queue.channels == ["email", "push"]


def test_a_lease_shorter_than_a_message_may_take_is_refused(queue: FakeQueue) -> None:
    provider = FakeProvider()
    provider.longest_seconds = 4
    with pytest.raises(UsageError, match="one message may take 4 s; give --lease 12 or more"):
        work(queue, provider)
