"""What a worker asks the database: one statement each, so it may be a transaction pooler's.

Every call may be repeated after an answer was lost, with one effect: the token of a lease is good
for one answer, and events are recognised.
"""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from guestcomms import db
from guestcomms.errors import GuestcommsError, RefusedError
from guestcomms.worker.message import Message, Outcome
from guestcomms.worker.supervisor import Request

LEASE_NOT_HELD = "GC361"
NOT_SET_UP = frozenset({"GC001", "42501", "42883"})
"""The login may not act for the organization, has not the right, or there is no such function."""
EVENTS_A_CALL = 1000
SAFETY_SECONDS = 1.0
"""A lease counts as over so much earlier than the database thinks."""


class LeaseLostError(GuestcommsError):
    """The database gave up waiting for us: what was handed out is unknown there."""


@dataclass(frozen=True)
class Result:
    """What became of one recipient; without an outcome it was not attempted."""

    recipient_id: str
    outcome: Outcome | None
    provider: str | None = None


@dataclass
class Claim:
    """A slice of messages that is ours for a while."""

    organization_id: str
    batch_id: str
    communication_id: str
    lease_token: str
    recipient_ids: list[str]
    lease_seconds: float
    asked_at: float
    """By our own clock, before the lease was asked for: it cannot end earlier than we think."""
    lost: bool = field(default=False)

    def seconds_left(self) -> float:
        """For how long the lease holds for sure."""
        if self.lost:
            return 0.0
        return self.asked_at + self.lease_seconds - SAFETY_SECONDS - time.monotonic()

    def extended(self, asked_at: float) -> None:
        """The lease counts from then."""
        self.asked_at = asked_at

    def give_up(self) -> None:
        """The lease is not ours any more."""
        self.lost = True

    @property
    def key(self) -> tuple[str, str, str]:
        """The parameters with which every function begins."""
        return (self.organization_id, self.batch_id, self.lease_token)


class Queue:
    """The queue as one worker sees it."""

    def __init__(self, session: db.Session, worker: str) -> None:
        self._session, self._worker = session, worker

    def claim(self, messages: int, lease_seconds: float, channels: Sequence[str]) -> Claim | None:
        """Lease a slice of one of these channels.

        A lost answer leaves a lease behind, which ends by itself.
        """
        asked_at = time.monotonic()
        found = self._session.rows(
            "SELECT claimed.organization_id::text, claimed.batch_id,"
            " claimed.communication_id::text, claimed.lease_token::text,"
            " claimed.recipient_ids::text[]"
            " FROM public.claim_batches(%s, 1, make_interval(secs => %s), %s, %s) AS claimed",
            (self._worker, lease_seconds, messages, list(channels)),
        )
        if not found:
            return None
        return Claim(**found[0], lease_seconds=lease_seconds, asked_at=asked_at)

    def render(self, claim: Claim) -> tuple[list[Message], list[Result]]:
        """The messages of a slice, and results for those that cannot be rendered."""
        messages, results = [], []
        for row in self._ask("SELECT * FROM public.render_batch(%s, %s, %s)", claim):
            if row["problem_code"] is None:
                messages.append(_message(claim, row))
            else:
                refused = Outcome("permanent", None, row["problem_code"], row["problem"])
                results.append(Result(str(row["recipient_id"]), refused))
        return messages, results

    def extend(self, claim: Claim) -> None:
        """Hold the lease for its full time from now on."""
        asked_at = time.monotonic()
        self._ask(
            "SELECT public.extend_lease(%s, %s, %s, make_interval(secs => %s))",
            claim,
            claim.lease_seconds,
        )
        claim.extended(asked_at)

    def complete(self, claim: Claim, results: Sequence[Result]) -> None:
        """Answer for the whole slice and end the lease."""
        answer = json.dumps([_result(result) for result in results])
        self._ask("SELECT public.complete_batch(%s, %s, %s, %s::jsonb)", claim, answer)

    def fail(self, claim: Claim, error: str) -> None:
        """Give the slice back untouched."""
        self._ask("SELECT public.fail_batch(%s, %s, %s, %s)", claim, error[:4000])

    def report_late(self, claim: Claim, results: Sequence[Result]) -> None:
        """Tell what is known for good of a slice whose lease has ended: sent, or refused for good.

        Of the others nothing: perhaps the answer to complete() was lost and not its effect, then
        they are queued again, and must stay so.
        """
        events = [
            event for result in results if (event := _event(claim.lease_token, result)) is not None
        ]
        for first in range(0, len(events), EVENTS_A_CALL):
            self._session.rows(
                "SELECT public.record_delivery_events(%s, %s::jsonb)",
                (claim.organization_id, json.dumps(events[first : first + EVENTS_A_CALL])),
            )

    def _ask(self, query: db.Query, claim: Claim, *parameters: Any) -> list[dict[str, Any]]:
        try:
            return self._session.rows(query, (*claim.key, *parameters))
        except db.DatabaseError as error:
            if error.sqlstate == LEASE_NOT_HELD:
                raise LeaseLostError(db.first_line(error)) from error
            if error.sqlstate in NOT_SET_UP:
                raise not_set_up(error) from error
            raise


class ScalingRequests:
    """What operations ask of the supervisor: rows `scale_workers` of the queue."""

    def __init__(self, session: db.Session, supervisor: str) -> None:
        self._session, self._supervisor = session, supervisor

    def wanted(self) -> Request | None:
        """The newest request, None if there is none; an old one still says how many it are."""
        found = self._session.rows(
            "SELECT wish.batch_id, wish.worker_count AS workers, wish.acknowledged"
            " FROM public.wanted_workers() AS wish"
        )
        return Request(**found[0]) if found else None

    def acknowledge(self, request: Request) -> None:
        """Say that it was obeyed."""
        self._session.rows(
            "SELECT public.acknowledge_worker_count(%s, %s)", (self._supervisor, request.batch_id)
        )


def not_set_up(error: db.DatabaseError) -> RefusedError:
    """What to raise where the database refuses a worker as such."""
    return RefusedError(
        f"The database refused a worker's call: {db.first_line(error)}; check that the login is one"
        " for workers, that set_login_unrestricted() lets it act for every organization, and that"
        " `.venv/bin/guestcomms migrate status` has nothing pending."
    )


def _message(claim: Claim, row: dict[str, Any]) -> Message:
    return Message(
        organization_id=claim.organization_id,
        communication_id=claim.communication_id,
        recipient_id=str(row["recipient_id"]),
        channel=row["channel"],
        address=row["address"],
        name=row["recipient_name"],
        subject=row["subject"],
        body=row["body"],
        text=row["body_text"],
        sender_name=row["sender_name"],
        sender_address=row["sender_address"],
        reply_to=row["reply_to"],
        unsubscribe_url=row["unsubscribe_url"],
    )


def _event(lease_token: str, result: Result) -> dict[str, str] | None:
    outcome = result.outcome
    if outcome is None or outcome.kind not in {"sent", "permanent"}:
        return None
    told = {
        "recipient_id": result.recipient_id,
        "status": "sent" if outcome.kind == "sent" else "failed",
        "provider": result.provider or "worker",
        "provider_event_id": f"{lease_token}:{result.recipient_id}",
        "provider_message_id": outcome.provider_message_id,
        "occurred_at": datetime.now(UTC).isoformat(),
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
    }
    return {name: value for name, value in told.items() if value is not None}


def _result(result: Result) -> dict[str, str]:
    outcome = result.outcome
    if outcome is None:
        return {"recipient_id": result.recipient_id, "outcome": "not_attempted"}
    told = {
        "recipient_id": result.recipient_id,
        "outcome": outcome.kind,
        "provider": result.provider,
        "provider_message_id": outcome.provider_message_id,
        "error_code": outcome.error_code,
        "error_message": outcome.error_message,
    }
    return {name: value for name, value in told.items() if value is not None}
