"""The webhook: a status decides; without one, whether the request can have gone out."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest
from guestcomms.errors import RefusedError
from guestcomms.worker.message import Message
from guestcomms.worker.webhook import Webhook


@dataclass
class Receiver:
    url: str = ""
    status: int = 200
    body: bytes = b'{"id": "provider-1"}'
    headers: dict[str, str] = field(default_factory=dict)
    hangs_up: bool = False
    waits: threading.Event | None = None
    requests: list[tuple[dict[str, str], dict[str, object]]] = field(default_factory=list)


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_POST(self) -> None:
        state: Receiver = self.server.state  # type: ignore[attr-defined]
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        state.requests.append((dict(self.headers), body))
        if state.waits:
            state.waits.wait(5)
        if state.hangs_up or state.waits:
            self.close_connection = True
            return
        self.send_response(state.status)
        for name, value in ({"Content-Length": str(len(state.body))} | state.headers).items():
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(state.body)

    def log_message(self, *_: object) -> None:
        """Nothing."""


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    state = Receiver()
    with ThreadingHTTPServer(("127.0.0.1", 0), _Handler) as server:
        server.state = state  # type: ignore[attr-defined]
        state.url = f"http://127.0.0.1:{server.server_address[1]}/send"
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
        server.shutdown()
        thread.join()


@pytest.fixture
def webhook(receiver: Receiver) -> Iterator[Webhook]:
    provider = Webhook(receiver.url, token="secret", answer_seconds=0.5)
    yield provider
    provider.close()


def test_a_message_is_posted_once_with_its_key(
    webhook: Webhook, receiver: Receiver, message: Message
) -> None:
    outcome = webhook.send(message)
    assert (outcome.kind, outcome.provider_message_id) == ("sent", "provider-1")
    [(headers, body)] = receiver.requests
    assert headers["Idempotency-Key"] == message.recipient_id
    assert headers["Authorization"] == "Bearer secret"
    assert body["address"] == "grace@example.org"
    assert body["subject"] == "Grüße aus Bonn"


@pytest.mark.parametrize(
    ("status", "kind", "pause"),
    [
        (202, "sent", None),
        (400, "permanent", None),
        (404, "permanent", None),
        (408, "temporary", None),
        (429, "temporary", 5.0),
        (500, "temporary", None),
        (503, "temporary", 5.0),
        (302, "temporary", None),
    ],
)
def test_an_outcome_follows_from_the_status(
    webhook: Webhook,
    receiver: Receiver,
    message: Message,
    status: int,
    kind: str,
    pause: float | None,
) -> None:
    receiver.status, receiver.headers = status, {"Location": "http://127.0.0.1:1/"}
    outcome = webhook.send(message)
    assert (outcome.kind, outcome.leave_alone_seconds) == (kind, pause)
    assert len(receiver.requests) == 1


def test_retry_after_is_honoured(webhook: Webhook, receiver: Receiver, message: Message) -> None:
    receiver.status, receiver.headers = 429, {"Retry-After": "17"}
    assert webhook.send(message).leave_alone_seconds == 17


@pytest.mark.parametrize("body", [b"", b"no json", b"[1]", b'{"id": null}'])
def test_sent_needs_no_json(
    webhook: Webhook, receiver: Receiver, message: Message, body: bytes
) -> None:
    receiver.body = body
    outcome = webhook.send(message)
    assert (outcome.kind, outcome.provider_message_id) == ("sent", None)


def test_a_connection_lost_after_the_request_is_unknown(
    webhook: Webhook, receiver: Receiver, message: Message
) -> None:
    receiver.hangs_up = True
    assert webhook.send(message).kind == "unknown"
    assert len(receiver.requests) == 1


def test_an_answer_that_never_comes_is_unknown(
    webhook: Webhook, receiver: Receiver, message: Message
) -> None:
    receiver.waits = threading.Event()
    assert webhook.send(message).kind == "unknown"
    receiver.waits.set()
    assert len(receiver.requests) == 1


def test_no_receiver_is_temporary_and_left_alone(message: Message) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    outcome = Webhook(f"http://127.0.0.1:{port}/").send(message)
    assert outcome.kind == "temporary"
    assert outcome.leave_alone_seconds


def test_a_wrong_token_stops_the_worker(
    webhook: Webhook, receiver: Receiver, message: Message
) -> None:
    receiver.status = 401
    with pytest.raises(RefusedError, match="GUESTCOMMS_WEBHOOK_TOKEN"):
        webhook.send(message)
