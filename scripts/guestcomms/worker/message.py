"""What goes to a provider and what comes back."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

Kind = Literal["sent", "temporary", "permanent", "unknown"]


@dataclass(frozen=True)
class Message:
    """One message to one recipient, rendered."""

    organization_id: str
    communication_id: str
    recipient_id: str
    """A provider gets it as idempotency key."""
    channel: str
    address: str | None
    """E-mail address, number or device; an in_app message has none."""
    name: str | None
    subject: str | None
    body: str
    """HTML for email, plain text for every other channel."""
    text: str | None
    sender_name: str | None
    sender_address: str | None
    reply_to: str | None
    unsubscribe_url: str | None


@dataclass(frozen=True)
class Outcome:
    """What became of one attempt.

    `unknown`: the provider may have accepted it, nobody can tell: never sent again by itself.
    `leave_alone_seconds`: the provider cannot take others either; ask it again after that.
    """

    kind: Kind
    provider_message_id: str | None = None
    error_code: str | None = None
    error_message: str | None = None
    leave_alone_seconds: float | None = None


class Provider(Protocol):
    """Hands messages to the world, one at a time.

    `send` does not raise because of a message; what it raises (`GuestcommsError`) means that no
    message can be sent before a person changes something, and that this one was not.
    """

    name: str
    """In metrics, in recipients' rows, in events."""
    channels: frozenset[str]
    """What it can carry."""
    longest_seconds: float
    """No call of `send` takes longer."""

    def send(self, message: Message) -> Outcome:
        """Try once."""
        ...

    def close(self) -> None:
        """Let go of connections and files."""
        ...
