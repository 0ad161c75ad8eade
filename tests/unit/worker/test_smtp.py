"""SMTP: what was certainly not accepted is tried again; what may have been is unknown."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from dataclasses import replace
from email import message_from_bytes
from email.policy import default
from typing import TYPE_CHECKING, Any

import pytest
from guestcomms.errors import RefusedError
from guestcomms.worker.message import Message
from guestcomms.worker.smtp import Server, Smtp

if TYPE_CHECKING:
    from tests.unit.worker.conftest import MailServer


@pytest.fixture
def smtp(mail_server: MailServer) -> Iterator[Smtp]:
    provider = Smtp(Server("127.0.0.1", mail_server.port, tls="none"), timeout_seconds=2)
    yield provider
    provider.close()


def test_a_mail_arrives_whole(smtp: Smtp, mail_server: MailServer, message: Message) -> None:
    outcome = smtp.send(message)
    mail = message_from_bytes(mail_server.mails[0], policy=default)
    assert (outcome.kind, outcome.provider_message_id) == ("sent", mail["Message-ID"])
    assert mail["Message-ID"] == f"<{message.recipient_id}@example.com>"
    assert mail["X-Guestcomms-Recipient"] == message.recipient_id
    assert mail["Subject"] == "Grüße aus Bonn"
    assert mail["From"] == "Anna & Béla <wedding@example.com>"
    assert mail["To"] == "Grace Hopper <grace@example.org>"
    assert mail["Reply-To"] == "anna@example.com"
    assert mail.get_content_type() == "multipart/alternative"
    text, html = mail.iter_parts()
    assert text.get_content().splitlines() == str(message.text).splitlines()
    assert mail_server.mails[0].isascii()
    assert html.get_content().splitlines() == message.body.splitlines()


def test_one_click_unsubscription_as_in_rfc_8058(
    smtp: Smtp, mail_server: MailServer, message: Message
) -> None:
    smtp.send(message)
    smtp.send(replace(message, unsubscribe_url=None))
    with_link, without = (message_from_bytes(mail, policy=default) for mail in mail_server.mails)
    assert with_link["List-Unsubscribe"] == "<https://example.com/u/token>"
    assert with_link["List-Unsubscribe-Post"] == "List-Unsubscribe=One-Click"
    assert without["List-Unsubscribe"] is None


def test_one_connection_serves_many_mails(
    smtp: Smtp, mail_server: MailServer, message: Message
) -> None:
    assert [smtp.send(message).kind for _ in range(3)] == ["sent"] * 3
    assert mail_server.connections == 1


@pytest.mark.parametrize(
    ("command", "answer", "kind", "code"),
    [
        ("MAIL", "451 4.3.0 try later", "temporary", "4.3.0"),
        ("RCPT", "450 4.2.1 mailbox busy", "temporary", "4.2.1"),
        ("RCPT", "550 5.1.1 no such user", "permanent", "5.1.1"),
        ("RCPT", "550 no", "permanent", "550"),
        ("DATA", "554 5.7.1 no", "permanent", "5.7.1"),
        ("BODY", "552 5.3.4 too big", "permanent", "5.3.4"),
        ("BODY", "451 4.7.1 greylisted", "temporary", "4.7.1"),
        ("CONNECT", "421 busy", "temporary", "connection"),
        ("MAIL", "", "temporary", "connection"),
        ("RCPT", "", "temporary", "connection"),
        ("DATA", "", "temporary", "connection"),
        ("BODY", "", "unknown", "connection"),
    ],
)
def test_an_outcome_follows_from_the_answer(
    smtp: Smtp,
    mail_server: MailServer,
    message: Message,
    command: str,
    answer: str,
    kind: str,
    code: str,
) -> None:
    mail_server.answers[command] = answer
    outcome = smtp.send(message)
    assert (outcome.kind, outcome.error_code) == (kind, code)
    del mail_server.answers[command]
    assert smtp.send(message).kind == "sent"


def test_an_answer_that_never_comes_is_unknown(message: Message, mail_server: MailServer) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        provider = Smtp(
            Server("127.0.0.1", silent.getsockname()[1], tls="none"), timeout_seconds=0.2
        )
        assert provider.send(message).kind == "temporary"
    mail_server.answers["BODY"] = "250-never ending"
    provider = Smtp(Server("127.0.0.1", mail_server.port, tls="none"), timeout_seconds=0.2)
    assert provider.send(message).kind == "unknown"


def test_a_connection_that_the_server_closed_is_made_anew(
    smtp: Smtp, mail_server: MailServer, message: Message
) -> None:
    smtp.send(message)
    assert smtp._connection is not None
    assert smtp._connection.sock is not None
    smtp._connection.sock.shutdown(socket.SHUT_RDWR)
    assert smtp.send(message).kind == "sent"
    assert mail_server.connections == 2


def test_no_server_leaves_the_others_alone(message: Message) -> None:
    with socket.create_server(("127.0.0.1", 0)) as closed:
        port = closed.getsockname()[1]
    outcome = Smtp(Server("127.0.0.1", port, tls="none")).send(message)
    assert outcome.kind == "temporary"
    assert outcome.leave_alone_seconds


@pytest.mark.parametrize(
    ("changes", "code"),
    [
        ({"address": "nobody"}, "5.6.0"),
        ({"address": "a@b.example\r\nBcc: c@d.example"}, "5.6.0"),
        ({"subject": "two\r\nBcc: c@d.example"}, "5.6.0"),
        ({"sender_address": None}, "5.6.0"),
    ],
)
def test_what_is_no_mail_is_refused_for_good(
    smtp: Smtp, mail_server: MailServer, message: Message, changes: dict[str, Any], code: str
) -> None:
    outcome = smtp.send(replace(message, **changes))
    assert (outcome.kind, outcome.error_code) == ("permanent", code)
    assert mail_server.mails == []


def test_addresses_in_other_scripts(smtp: Smtp, mail_server: MailServer, message: Message) -> None:
    assert smtp.send(replace(message, address="user@bücher.example")).kind == "sent"
    assert "rcpt TO:<user@xn--bcher-kva.example>" in mail_server.commands
    assert smtp.send(replace(message, address="χρήστης@example.gr")).kind == "sent"
    assert "rcpt TO:<χρήστης@example.gr>" in mail_server.commands
    mail_server.answers["EHLO"] = "250 test"
    smtp.close()
    refused = smtp.send(replace(message, address="χρήστης@example.gr"))
    assert (refused.kind, refused.error_code) == ("permanent", "5.6.7")
    assert smtp.send(replace(message, name="Σοφία", address="user@bücher.example")).kind == "sent"


def test_a_server_without_starttls_gets_nothing(mail_server: MailServer, message: Message) -> None:
    provider = Smtp(Server("127.0.0.1", mail_server.port))
    with pytest.raises(RefusedError, match=r"does not offer what the URL asks for \(STARTTLS"):
        provider.send(message)
    assert mail_server.mails == []


def test_a_wrong_password_stops_the_worker(mail_server: MailServer, message: Message) -> None:
    mail_server.answers |= {"EHLO": "250-test\r\n250 AUTH PLAIN", "AUTH": "535 5.7.8 no"}
    server = Server("127.0.0.1", mail_server.port, "none", "user", "wrong")
    with pytest.raises(RefusedError, match="GUESTCOMMS_SMTP_PASSWORD"):
        Smtp(server).send(message)
    assert "wrong" not in repr(server)
