"""Messages over HTTPS: one POST of JSON each, with the recipient's id as idempotency key.

Before a connection stands nothing can have been accepted. Once the request went out, only a status
tells: without one the outcome is unknown. A receiver that honours Idempotency-Key makes even its
own 5xx harmless.
"""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

import requests
from urllib3.exceptions import (
    ConnectTimeoutError,
    HTTPError,
    MaxRetryError,
    NewConnectionError,
)

from guestcomms.errors import RefusedError
from guestcomms.worker.message import Message, Outcome

CHANNELS = frozenset({"email", "sms", "push", "in_app"})
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 20.0
LEAVE_ALONE_SECONDS = 5.0
LONGEST_LEAVE_ALONE_SECONDS = 300.0
ANSWER_BYTES = 65536
NOT_CONNECTED = (NewConnectionError, ConnectTimeoutError)
LATER = frozenset({408, 425, 429})
"""4xx that mean the moment, not the message."""


class Webhook:
    """Posts to one URL; the answer may name the message: {"id": "…"} or {"message_id": "…"}."""

    name = "webhook"
    channels = CHANNELS

    def __init__(
        self, url: str, *, token: str | None = None, answer_seconds: float = ANSWER_SECONDS
    ) -> None:
        self._url = url
        self._timeouts = (CONNECT_SECONDS, answer_seconds)
        # The read time-out is between two bytes; the answer is read once, and not to its end.
        self.longest_seconds = CONNECT_SECONDS + 2 * answer_seconds
        self._session = requests.Session()
        self._session.headers["User-Agent"] = "guestcomms"
        if token:
            self._session.headers["Authorization"] = f"Bearer {token}"

    def send(self, message: Message) -> Outcome:
        try:
            response = self._session.post(
                self._url,
                json=asdict(message),
                headers={"Idempotency-Key": message.recipient_id},
                timeout=self._timeouts,
                allow_redirects=False,
                stream=True,
            )
        except (requests.ConnectionError, requests.Timeout) as error:
            if "CERTIFICATE_VERIFY_FAILED" in str(error):
                raise RefusedError(
                    f"The certificate of the webhook {self._url} is not trusted; put its authority"
                    " into a file and name that in REQUESTS_CA_BUNDLE."
                ) from error
            return _no_answer(error)
        with response:
            return self._answered(response)

    def close(self) -> None:
        self._session.close()

    def _answered(self, response: requests.Response) -> Outcome:
        status = response.status_code
        if status == requests.codes.unauthorized:
            raise RefusedError(
                f"The webhook {self._url} does not let us in (401); check GUESTCOMMS_WEBHOOK_TOKEN."
            )
        answer = _json(response)
        if 200 <= status < 300:
            name = answer.get("id") or answer.get("message_id")
            return Outcome("sent", provider_message_id=None if name is None else str(name)[:200])
        error = str(answer.get("error") or answer.get("message") or response.reason)[:500]
        permanent = 400 <= status < 500 and status not in LATER
        return Outcome(
            "permanent" if permanent else "temporary",
            error_code=str(status),
            error_message=error,
            leave_alone_seconds=None if permanent else _leave_alone(response),
        )


def _leave_alone(response: requests.Response) -> float | None:
    """Seconds until the next request: those that the receiver names, or ours where it is down."""
    asked = response.headers.get("Retry-After", "")
    if asked.isdigit():
        return min(float(asked), LONGEST_LEAVE_ALONE_SECONDS)
    return LEAVE_ALONE_SECONDS if response.status_code in {429, 503} else None


def _json(response: requests.Response) -> dict[str, Any]:
    """The answer's JSON object, or nothing: the status alone decides."""
    try:
        found = json.loads(response.raw.read(ANSWER_BYTES, decode_content=True))
    except (ValueError, OSError, HTTPError):
        return {}
    return found if isinstance(found, dict) else {}


def _no_answer(error: requests.RequestException) -> Outcome:
    cause = error.args[0] if error.args else None
    reason = cause.reason if isinstance(cause, MaxRetryError) else cause
    before = isinstance(error, requests.ConnectTimeout) or isinstance(reason, NOT_CONNECTED)
    return Outcome(
        "temporary" if before else "unknown",
        error_code="connection",
        error_message=str(error)[:500],
        # After an unknown too: a receiver that breaks every connection makes few of them so.
        leave_alone_seconds=LEAVE_ALONE_SECONDS,
    )
