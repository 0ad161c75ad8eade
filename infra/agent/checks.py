"""Checks of single values: what comes from database, file or program passes one of these first."""

import ipaddress
import re
from collections.abc import Collection, Mapping
from typing import cast

from infra.agent.errors import AgentError

# \Z and not $: $ also accepts a line feed at the end, which would end a line of configuration.
MACHINE_NAME = re.compile(r"[a-z]+-[0-9]{1,3}\Z")
IDENTIFIER = re.compile(r"[a-z_][a-z0-9_]{0,62}\Z")
UNIX_NAME = re.compile(r"[a-z_][a-z0-9_-]{0,31}\Z")
HOST = re.compile(r"[A-Za-z0-9][A-Za-z0-9.-]{0,252}\Z")
BUCKET = re.compile(r"[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]\Z")
REGION = re.compile(r"[a-z0-9-]{1,40}\Z")
RECEIVER = re.compile(r"[a-z][a-z0-9-]{0,30}\Z")
PATH = re.compile(r"(/[A-Za-z0-9][A-Za-z0-9._-]*)+\Z")
DELIVERED = re.compile(
    r"/etc/prometheus/((prometheus|alertmanager)\.yml|console(s|_libraries)/[a-z]+\.(html|lib))\Z"
)
RESTORE_ID = re.compile(r"restore_[0-9]{8}_[0-9]{6}\Z")
HOLDER = re.compile(r"[0-9a-f]{16}\Z")
FILE_MODE = re.compile(r"0?[0-7]{3}\Z")
SECRET = re.compile(
    r"[!-~]{1,512}\Z"
)  # printable ASCII without space: one word of a configuration file


def mapping(value: object, key: str) -> Mapping[str, object]:
    """Return `value` as a JSON object.

    Raises:
        AgentError: it is something else.
    """
    if not isinstance(value, dict):
        raise AgentError(f"{key}: expected a JSON object, got {type(value).__name__}")
    return cast(Mapping[str, object], value)


def sequence(value: object, key: str) -> list[object]:
    """Return `value` as a JSON array.

    Raises:
        AgentError: it is something else.
    """
    if not isinstance(value, list):
        raise AgentError(f"{key}: expected a JSON array, got {type(value).__name__}")
    return cast(list[object], value)


def text(value: object, key: str, pattern: re.Pattern[str]) -> str:
    """Return `value` if it is a string that `pattern` matches whole.

    Raises:
        AgentError: names the key, the value and the pattern; a secret's value is never repeated.
    """
    if isinstance(value, str) and pattern.match(value):
        return value
    shown = "a secret" if pattern is SECRET else repr(value)
    raise AgentError(f"{key}: {shown} is not allowed, it must match {pattern.pattern}")


def one_of(value: object, key: str, allowed: Collection[str]) -> str:
    """Return `value` if it is one of `allowed`.

    Raises:
        AgentError: names the key, the value and the values allowed.
    """
    if isinstance(value, str) and value in allowed:
        return value
    raise AgentError(f"{key}: {value!r} is not one of {', '.join(sorted(allowed))}")


def number(value: object, key: str, least: int, most: int) -> int:
    """Return `value` if it is a whole number between `least` and `most`, both included.

    Raises:
        AgentError: names the key, the value and the bounds.
    """
    if isinstance(value, int) and not isinstance(value, bool) and least <= value <= most:
        return value
    raise AgentError(f"{key}: {value!r} is not a whole number between {least} and {most}")


def address(value: object, key: str) -> str:
    """Return `value` in canonical form if it is an IP address.

    Raises:
        AgentError: names the key and the value.
    """
    try:
        return str(ipaddress.ip_address(cast(str, value)))
    except ValueError as error:
        raise AgentError(f"{key}: {value!r} is not an IP address") from error
