"""A provider from its URL. Secrets never stand in it: arguments are seen by every user."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from guestcomms.errors import UsageError
from guestcomms.worker.file_sink import FileSink, Misbehaviour
from guestcomms.worker.message import Provider
from guestcomms.worker.smtp import Server, Smtp, Tls
from guestcomms.worker.webhook import Webhook

SMTP_PASSWORD = "GUESTCOMMS_SMTP_PASSWORD"  # noqa: S105 - the name of a variable
WEBHOOK_TOKEN = "GUESTCOMMS_WEBHOOK_TOKEN"  # noqa: S105 - the name of a variable
EXAMPLES = "file:/path, smtp://user@host:587, smtps://user@host:465, https://host/path"
PORTS = {"smtp": 587, "smtps": 465}
LOCAL_HOSTS = ("localhost", "127.0.0.1", "::1")


def routes(
    specifications: Sequence[str],
    environment: Mapping[str, str] = os.environ,
    only: Sequence[str] = (),
) -> dict[str, Provider]:
    """Channel → the provider that carries it, from `[CHANNEL=]URL` each.

    Without a channel a provider carries all of its own that no other one is named for; `only`
    leaves these channels. Raises `UsageError`.
    """
    named: dict[str, Provider] = {}
    others: dict[str, Provider] = {}
    for specification in specifications:
        channel, sign, url = specification.partition("=")
        if not sign or ":" in channel:
            provider = make(specification, environment)
            taken, spoken = others, provider.channels
        else:
            provider = make(url, environment)
            taken, spoken = named, frozenset({channel})
        if not spoken <= provider.channels:
            raise UsageError(
                f"{url!r} does not carry {channel!r}; it carries:"
                f" {', '.join(sorted(provider.channels))}."
            )
        if twice := sorted(spoken & set(taken)):
            raise UsageError(
                f"Two providers carry {twice[0]}; write which one does, such as {twice[0]}=URL."
            )
        taken.update(dict.fromkeys(spoken, provider))
    carried = others | named
    if missing := sorted(set(only) - set(carried)):
        raise UsageError(
            f"No provider carries {missing[0]!r}; they carry: {', '.join(sorted(carried))}."
        )
    return {name: one for name, one in carried.items() if not only or name in only}


def make(url: str, environment: Mapping[str, str] = os.environ) -> Provider:
    """The provider that a URL stands for. Raises `UsageError`, which says what is wrong in it."""
    try:
        parts = urlsplit(url)
        port = parts.port
    except ValueError as error:
        raise UsageError(f"{url!r} is no URL ({error}); give one like {EXAMPLES}.") from None
    if parts.password is not None:
        raise UsageError(
            f"A provider's URL holds no password, everybody sees it there; put it into the variable"
            f" {SMTP_PASSWORD} or {WEBHOOK_TOKEN}."
        )
    if parts.scheme == "file":
        return _file(parts)
    if parts.scheme in PORTS and parts.hostname:
        return _smtp(parts, port or PORTS[parts.scheme], environment)
    if parts.scheme == "https" or (parts.scheme == "http" and parts.hostname in LOCAL_HOSTS):
        return Webhook(url, token=environment.get(WEBHOOK_TOKEN))
    if parts.scheme == "http":
        raise UsageError(
            f"{url!r} would send addresses in clear over the network; give an https:// URL."
        )
    raise UsageError(f"{url!r} leads to no provider; give one like {EXAMPLES}.")


def _smtp(parts: SplitResult, port: int, environment: Mapping[str, str]) -> Smtp:
    options = _options(parts, {"tls"})
    tls = "implicit" if parts.scheme == "smtps" else options.get("tls", "starttls")
    known: dict[str, Tls] = {one: one for one in get_args(Tls)}
    if tls not in known:
        raise UsageError(f"tls={tls} is unknown; give one of: {', '.join(known)}.")
    user = unquote(parts.username) if parts.username else None
    password = environment.get(SMTP_PASSWORD)
    if user and password is None:
        raise UsageError(f"The URL names a user but {SMTP_PASSWORD} is not set; set it.")
    if user and tls == "none" and parts.hostname not in LOCAL_HOSTS:
        raise UsageError("tls=none would send the password in clear; leave it or the user out.")
    return Smtp(Server(str(parts.hostname), port, known[tls], user, password))


def _file(parts: SplitResult) -> FileSink:
    if parts.netloc or not parts.path.startswith("/"):
        raise UsageError(
            f"file:{parts.netloc}{parts.path} is no absolute path; give one like file:/tmp/sink."
        )
    shares = {field.name for field in fields(Misbehaviour)}
    options = _options(parts, shares | {"sync", "content", "delay"})
    numbers = {name: _number(name, options[name]) for name in options if name in shares}
    return FileSink(
        Path(unquote(parts.path)),
        sync=options.get("sync") == "yes",
        content=options.get("content") != "no",
        delay_seconds=_number("delay", options.get("delay", "0")),
        misbehaviour=Misbehaviour(**numbers),
    )


def _options(parts: SplitResult, known: set[str]) -> dict[str, Any]:
    options = dict(parse_qsl(parts.query, keep_blank_values=True))
    if unknown := sorted(set(options) - known):
        raise UsageError(
            f"The provider's URL has the unknown option {unknown[0]!r};"
            f" a {parts.scheme}: URL takes: {', '.join(sorted(known))}."
        )
    return options


def _number(name: str, value: str) -> float:
    try:
        number = float(value)
    except ValueError:
        number = -1.0
    if not 0 <= number <= (60 if name == "delay" else 1):
        raise UsageError(
            f"{name}={value} is out of range; give seconds up to 60 for delay, a share from 0 to 1"
            " for the others."
        )
    return number
