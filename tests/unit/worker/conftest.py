"""A message, and a mail server of forty lines that does what a test wants."""

from __future__ import annotations

import socketserver
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest
from guestcomms.worker.message import Message

RECIPIENT = "018f0000-0000-7000-8000-000000000042"


@pytest.fixture
def message() -> Message:
    return Message(
        organization_id="018f0000-0000-7000-8000-000000000001",
        communication_id="018f0000-0000-7000-8000-000000000002",
        recipient_id=RECIPIENT,
        channel="email",
        address="grace@example.org",
        name="Grace Hopper",
        subject="Grüße aus Bonn",
        body="<p>Liebe Grace, wir heiraten.</p>\r\n.\r\n..dots",
        text="Liebe Grace, wir heiraten.\n.\n..dots\n",
        sender_name="Anna & Béla",
        sender_address="wedding@example.com",
        reply_to="anna@example.com",
        unsubscribe_url="https://example.com/u/token",
    )


@dataclass
class MailServer:
    """Answers of its own: command → answer; an empty answer hangs up instead."""

    port: int = 0
    answers: dict[str, str] = field(default_factory=dict)
    mails: list[bytes] = field(default_factory=list)
    commands: list[str] = field(default_factory=list)
    connections: int = 0


class _Session(socketserver.StreamRequestHandler):
    def handle(self) -> None:
        state: MailServer = self.server.state  # type: ignore[attr-defined]
        state.connections += 1
        self.say(state.answers.get("CONNECT", "220 ready"))
        for raw in self.rfile:
            line = raw.decode("utf-8").rstrip("\r\n")
            word = line.split(" ", 1)[0].upper()
            state.commands.append(line)
            if not self.say(state.answers.get(word, self.usual(word))):
                return
            if word == "DATA" and not self.body(state):
                return

    def usual(self, word: str) -> str:
        if word == "EHLO":
            return "250-test\r\n250 SMTPUTF8"
        return {"DATA": "354 go on", "QUIT": "221 bye"}.get(word, "250 ok")

    def body(self, state: MailServer) -> bool:
        if not state.answers.get("DATA", "354").startswith("354"):
            return True
        lines = []
        for raw in self.rfile:
            if raw == b".\r\n":
                break
            lines.append(raw.removeprefix(b".") if raw.startswith(b".") else raw)
        state.mails.append(b"".join(lines))
        return self.say(state.answers.get("BODY", "250 2.0.0 queued"))

    def say(self, answer: str) -> bool:
        if answer:
            self.wfile.write(answer.encode() + b"\r\n")
        return bool(answer) and not answer.startswith("221")


class _Server(socketserver.ThreadingTCPServer):
    daemon_threads = True
    allow_reuse_address = True


@pytest.fixture
def mail_server() -> Iterator[MailServer]:
    state = MailServer()
    with _Server(("127.0.0.1", 0), _Session) as server:
        state.port = server.server_address[1]
        server.state = state  # type: ignore[attr-defined]
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield state
        server.shutdown()
        thread.join()
