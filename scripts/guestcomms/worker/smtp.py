"""E-mail over SMTP: one connection, kept for many messages.

Until the server has said 354 to DATA nothing can have been accepted: a lost connection is a
temporary error. After that, only the server's answer tells: without one the outcome is unknown.
"""

from __future__ import annotations

import smtplib
import ssl
from contextlib import suppress
from dataclasses import dataclass, field
from email.headerregistry import Address
from email.message import EmailMessage
from email.policy import SMTP, SMTPUTF8
from email.utils import format_datetime, localtime
from typing import Literal

from guestcomms.errors import RefusedError
from guestcomms.worker.message import Message, Outcome

TIMEOUT_SECONDS = 20.0
STEPS = 6
"""So many answers are waited for, at most, to send one message over a new connection."""
LEAVE_ALONE_SECONDS = 5.0
NO_UTF8 = "the address needs SMTPUTF8, which the server does not offer"
READY_FOR_DATA = 354
Tls = Literal["starttls", "implicit", "none"]
ASCII = SMTP.clone(cte_type="7bit")
"""A mail that any server takes."""
GONE = (smtplib.SMTPServerDisconnected, OSError)


@dataclass(frozen=True)
class Server:
    """Where to, and as whom."""

    host: str
    port: int
    tls: Tls = "starttls"
    user: str | None = None
    password: str | None = field(default=None, repr=False)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class _RefusalError(Exception):
    """The server's answer to one step was no."""

    def __init__(self, code: int, text: bytes) -> None:
        super().__init__(text.decode("utf-8", "replace"))
        self.code = code


class Smtp:
    """Sends e-mail through one server."""

    name = "smtp"
    channels = frozenset({"email"})

    def __init__(self, server: Server, *, timeout_seconds: float = TIMEOUT_SECONDS) -> None:
        self._server, self._timeout = server, timeout_seconds
        self.longest_seconds = timeout_seconds * STEPS
        self._connection: smtplib.SMTP | None = None
        self._context = ssl.create_default_context()

    def send(self, message: Message) -> Outcome:
        try:
            mail = compose(message)
        except (ValueError, UnicodeError) as error:
            return Outcome("permanent", error_code="5.6.0", error_message=_short(error))
        reused = self._connection is not None
        try:
            return self._send(message, mail)
        except GONE as error:
            self.close()
            if not reused:
                return _unreachable(error)
        # Servers close idle connections; nothing had been handed over on this one.
        try:
            return self._send(message, mail)
        except GONE as error:
            self.close()
            return _unreachable(error)

    def close(self) -> None:
        if self._connection is not None:
            with suppress(smtplib.SMTPException, OSError):
                self._connection.quit()
            self._connection.close()
            self._connection = None

    def _send(self, message: Message, mail: EmailMessage) -> Outcome:
        """One attempt; raises one of GONE only before the body goes out."""
        connection = self._connection or self._connect()
        self._connection = connection
        try:
            # Only where an address needs it: not every server on the way may know it.
            utf8 = _needs_utf8(message)
            if utf8 and not connection.has_extn("smtputf8"):
                return Outcome("permanent", error_code="5.6.7", error_message=NO_UTF8)
            _envelope(connection, message, ["SMTPUTF8"] if utf8 else [])
        except _RefusalError as refusal:
            self._reset()
            return _refused(refusal)
        try:
            return _body(connection, mail.as_bytes(), str(mail["Message-ID"]))
        except (smtplib.SMTPException, OSError) as error:
            self.close()
            return Outcome("unknown", error_code="connection", error_message=_short(error))

    def _connect(self) -> smtplib.SMTP:
        server = self._server
        try:
            connection = self._open()
        except ssl.SSLCertVerificationError as error:
            raise RefusedError(
                f"The certificate of the SMTP server {server} is not trusted"
                f" ({error.verify_message}); put its authority into a file and name that in"
                " SSL_CERT_FILE."
            ) from error
        except smtplib.SMTPResponseException as error:
            if isinstance(error, smtplib.SMTPAuthenticationError) and error.smtp_code >= 500:
                raise RefusedError(
                    f"The SMTP server {server} does not let {server.user!r} in"
                    f" ({error.smtp_code}); check the user in the URL and"
                    " GUESTCOMMS_SMTP_PASSWORD."
                ) from error
            raise smtplib.SMTPServerDisconnected(str(error)) from error
        except smtplib.SMTPServerDisconnected:
            raise
        except smtplib.SMTPException as error:
            raise RefusedError(
                f"The SMTP server {server} does not offer what the URL asks for ({_short(error)});"
                " check tls= and the user in it."
            ) from error
        return connection

    def _open(self) -> smtplib.SMTP:
        server = self._server
        connection: smtplib.SMTP
        if server.tls == "implicit":
            connection = smtplib.SMTP_SSL(
                server.host, server.port, timeout=self._timeout, context=self._context
            )
        else:
            connection = smtplib.SMTP(server.host, server.port, timeout=self._timeout)
        try:
            if server.tls == "starttls":
                connection.starttls(context=self._context)
            if server.user is not None:
                connection.login(server.user, server.password or "")
            connection.ehlo_or_helo_if_needed()
        except OSError:  # smtplib's own errors are of this kind too
            connection.close()
            raise
        return connection

    def _reset(self) -> None:
        """Forget the envelope of a refused message; a connection that cannot is given up."""
        try:
            if self._connection is not None:
                self._connection.rset()
        except (smtplib.SMTPException, OSError):
            self.close()


def compose(message: Message) -> EmailMessage:
    """The mail: text and HTML, one-click unsubscription (RFC 8058), and the recipient's id."""
    if not message.sender_address or not message.address:
        raise ValueError("no address of sender or recipient")
    sender = _address(message.sender_name, message.sender_address)
    recipient = _address(message.name, message.address)
    mail = EmailMessage(policy=SMTPUTF8 if _needs_utf8(message) else ASCII)
    mail["From"] = sender
    mail["To"] = recipient
    mail["Subject"] = message.subject or ""
    if message.reply_to:
        mail["Reply-To"] = message.reply_to
    mail["Date"] = format_datetime(localtime())
    mail["Message-ID"] = f"<{message.recipient_id}@{sender.domain}>"
    mail["X-Guestcomms-Recipient"] = message.recipient_id
    if message.unsubscribe_url:
        mail["List-Unsubscribe"] = f"<{message.unsubscribe_url}>"
        mail["List-Unsubscribe-Post"] = "List-Unsubscribe=One-Click"
    if message.text:
        mail.set_content(message.text)
        mail.add_alternative(message.body, subtype="html")
    else:
        mail.set_content(message.body, subtype="html")
    return mail


def _envelope(connection: smtplib.SMTP, message: Message, options: list[str]) -> None:
    sender = _address(None, message.sender_address or "").addr_spec
    recipient = _address(None, message.address or "").addr_spec
    for code, text in (connection.mail(sender, options), connection.rcpt(recipient)):
        if not 200 <= code < 300:
            raise _RefusalError(code, text)
    code, text = connection.docmd("DATA")
    if code != READY_FOR_DATA:
        raise _RefusalError(code, text)


def _body(connection: smtplib.SMTP, data: bytes, message_id: str) -> Outcome:
    quoted = b"\r\n".join(
        b"." + line if line.startswith(b".") else line
        for line in data.rstrip(b"\r\n").split(b"\r\n")
    )
    connection.send(quoted + b"\r\n.\r\n")
    code, text = connection.getreply()
    if 200 <= code < 300:
        return Outcome("sent", provider_message_id=message_id)
    return _refused(_RefusalError(code, text))


def _refused(refusal: _RefusalError) -> Outcome:
    """4xx: the same message may pass later; 5xx: never. 421: the server goes away."""
    text = str(refusal)
    words = text.split(maxsplit=1)
    enhanced = words[0] if words and words[0].count(".") == 2 else None
    return Outcome(
        "permanent" if refusal.code >= 500 else "temporary",
        error_code=enhanced or str(refusal.code),
        error_message=text[:500],
        leave_alone_seconds=LEAVE_ALONE_SECONDS if refusal.code == 421 else None,
    )


def _unreachable(error: Exception) -> Outcome:
    return Outcome(
        "temporary",
        error_code="connection",
        error_message=_short(error),
        leave_alone_seconds=LEAVE_ALONE_SECONDS,
    )


def _needs_utf8(message: Message) -> bool:
    """Whether an address has other letters before the @; a domain always fits into ASCII."""
    addresses = (message.sender_address, message.address)
    return not all((address or "").rpartition("@")[0].isascii() for address in addresses)


def _address(name: str | None, address: str) -> Address:
    """An address as it goes over the wire: the domain in ASCII."""
    local, _, domain = address.strip().rpartition("@")
    if not local or not domain or any(sign in address for sign in "\r\n<>"):
        raise ValueError("not an e-mail address")
    if not domain.isascii():
        domain = domain.encode("idna").decode("ascii")
    return Address(name or "", username=local, domain=domain)


def _short(error: BaseException) -> str:
    return (str(error) or type(error).__name__)[:500]
