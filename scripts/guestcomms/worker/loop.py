"""The loop of one worker: claim a slice, have it rendered, send, report.

What holds whatever happens:
- a message whose attempt may have reached the provider is never given back as not attempted;
- nothing is sent when the lease may have ended: another attempt at the same time is impossible;
- a result in hand is reported, after reconnecting too; once the lease is lost, as an event.
"""

from __future__ import annotations

import logging
import math
import random
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from guestcomms import db
from guestcomms.errors import GuestcommsError, RefusedError, UsageError
from guestcomms.worker.message import Message, Outcome, Provider
from guestcomms.worker.metrics import Metrics
from guestcomms.worker.queue import Claim, LeaseLostError, Queue, Result
from guestcomms.worker.stop import Stop

logger = logging.getLogger(__name__)

FIRST_PAUSE_SECONDS = 0.5
LONGEST_PAUSE_SECONDS = 30.0
INTERRUPTED = Outcome("unknown", error_code="interrupted")
EXTEND_AFTER = 1 / 3
"""Part of a lease that may pass before it is extended."""


@dataclass(frozen=True)
class Settings:
    """How a worker works."""

    slice: int = 100
    lease_seconds: float = 120.0
    poll_seconds: float = 1.0
    once: bool = False
    """Stop when nothing is due."""


class Worker:
    """Claims and sends until it is told to stop."""

    def __init__(
        self,
        queue: Queue,
        providers: Mapping[str, Provider],
        settings: Settings,
        metrics: Metrics,
        stop: Stop,
    ) -> None:
        self._longest = max(provider.longest_seconds for provider in providers.values())
        if settings.lease_seconds < 3 * self._longest:
            raise UsageError(
                f"A lease of {settings.lease_seconds:g} s is too short: one message may take"
                f" {self._longest:g} s; give --lease {math.ceil(3 * self._longest)} or more."
            )
        self._queue, self._providers, self._settings = queue, providers, settings
        self._metrics, self._stop = metrics, stop
        self.totals: dict[str, int] = {}

    def run(self) -> dict[str, int]:
        """Work; returns the number of attempts by outcome.

        Raises `GuestcommsError` when nothing can be sent before a person changes something, after
        everything in hand was reported.
        """
        try:
            while not self._stop.asked:
                claim = self._claim()
                if claim is not None:
                    self._work(claim)
                elif self._settings.once:
                    break
                else:
                    self._idle()
                self._metrics.write()
        finally:
            self._metrics.write(now=True)
            for provider in set(self._providers.values()):
                provider.close()
        return self.totals

    def _claim(self) -> Claim | None:
        """The next slice; None if nothing is due, or if it is time to stop."""
        pause = FIRST_PAUSE_SECONDS
        while not self._stop.asked:
            try:
                return self._queue.claim(
                    self._settings.slice, self._settings.lease_seconds, sorted(self._providers)
                )
            except db.ConnectionLostError as error:
                pause = self._reconnect(error, pause)
        return None

    def _work(self, claim: Claim) -> None:
        self._metrics.event("slice")
        try:
            messages, results = self._render(claim)
        except LeaseLostError as error:
            self._lost(claim, error)
            return
        except RefusedError:
            self._report(claim, [Result(one, None) for one in claim.recipient_ids])
            raise
        except db.DatabaseError as error:
            logger.warning("%s cannot be rendered: %s", claim.batch_id, db.first_line(error))
            self._report_failure(claim, error)
            return
        try:
            pause = self._send(claim, messages, results)
        finally:
            told = {result.recipient_id for result in results}
            rest = [message for message in messages if message.recipient_id not in told]
            self._report(claim, [*results, *(Result(one.recipient_id, None) for one in rest)])
        if pause is not None:
            self._metrics.event("pause")
            logger.warning("The provider is left alone for %g s.", pause)
            self._stop.wait(pause * random.uniform(1, 1.5))  # noqa: S311 - no secret

    def _send(
        self, claim: Claim, messages: Sequence[Message], results: list[Result]
    ) -> float | None:
        """Send message by message, as long as that is allowed; what became of each goes to results.

        Returns for how long the provider has to be left alone, if it has.
        """
        for message in messages:
            if self._stop.asked or not self._hold(claim):
                return None
            provider = self._providers[message.channel]
            # Whatever ends us while it is on its way: it may have arrived.
            results.append(Result(message.recipient_id, INTERRUPTED, provider.name))
            try:
                outcome = self._attempt(provider, message)
            except GuestcommsError:
                del results[-1]
                raise
            results[-1] = Result(message.recipient_id, outcome, provider.name)
            if outcome.leave_alone_seconds is not None:
                return outcome.leave_alone_seconds
        return None

    def _attempt(self, provider: Provider, message: Message) -> Outcome:
        """Send one message; a bug in a provider makes its outcome unknown, and is told."""
        started = time.monotonic()
        try:
            outcome = provider.send(message)
        except GuestcommsError:
            raise
        except Exception as error:
            logger.exception("The provider failed with recipient %s", message.recipient_id)
            outcome = Outcome("unknown", error_code="provider", error_message=repr(error)[:500])
        self._metrics.attempt(provider.name, outcome.kind, time.monotonic() - started)
        self.totals[outcome.kind] = self.totals.get(outcome.kind, 0) + 1
        return outcome

    def _render(self, claim: Claim) -> tuple[list[Message], list[Result]]:
        pause = FIRST_PAUSE_SECONDS
        while True:
            try:
                return self._queue.render(claim)
            except db.ConnectionLostError as error:
                if claim.seconds_left() <= 0:
                    raise LeaseLostError(str(error)) from error
                pause = self._reconnect(error, pause)

    def _hold(self, claim: Claim) -> bool:
        """Whether one more message fits into the lease, which is extended in time."""
        if claim.seconds_left() < claim.lease_seconds * (1 - EXTEND_AFTER):
            try:
                self._queue.extend(claim)
            except LeaseLostError as error:
                self._lost(claim, error)
                claim.give_up()
            except db.ConnectionLostError as error:
                self._metrics.event("reconnect")
                logger.warning("The lease could not be extended: %s", error)
        return claim.seconds_left() > self._longest

    def _report(self, claim: Claim, results: Sequence[Result]) -> None:
        """Tell the database, again and again until it has heard; after the lease: as events."""
        pause, late = FIRST_PAUSE_SECONDS, False
        deadline = time.monotonic() + 2 * self._settings.lease_seconds
        while True:
            try:
                if late:
                    self._queue.report_late(claim, results)
                    self._metrics.event("late_report", len(results))
                else:
                    self._queue.complete(claim, results)
                break
            except LeaseLostError as error:
                self._lost(claim, error)
                late = True
            except db.ConnectionLostError as error:
                if self._stop.asked and time.monotonic() > deadline:
                    logger.warning(
                        "%d results of %s are lost: no database.", len(results), claim.batch_id
                    )
                    raise
                pause = self._reconnect(error, pause, even_when_stopping=True)

    def _report_failure(self, claim: Claim, error: db.DatabaseError) -> None:
        try:
            self._queue.fail(claim, db.first_line(error))
        except (LeaseLostError, db.ConnectionLostError) as lost:
            self._lost(claim, lost)  # the end of the lease has the same effect

    def _reconnect(
        self, error: Exception, pause: float, *, even_when_stopping: bool = False
    ) -> float:
        """Wait a while; returns how long to wait the next time."""
        self._metrics.event("reconnect")
        self._metrics.write()
        logger.warning("%s", error)
        seconds = pause * random.uniform(0.5, 1)  # noqa: S311 - no secret
        if even_when_stopping:
            time.sleep(seconds)
        else:
            self._stop.wait(seconds)
        return min(2 * pause, LONGEST_PAUSE_SECONDS)

    def _idle(self) -> None:
        self._metrics.event("idle")
        # Jitter: workers that started together do not ask together.
        self._stop.wait(self._settings.poll_seconds * random.uniform(0.5, 1.5))  # noqa: S311

    def _lost(self, claim: Claim, error: Exception) -> None:
        self._metrics.event("lease_lost")
        logger.warning("The lease of %s is lost: %s", claim.batch_id, error)
