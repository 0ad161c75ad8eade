"""What all our Pulumi dynamic providers share.

Provider classes live in importable modules, so the state holds only their import path: a
change of code is no change of the resource, but a provider that is renamed or moved needs
an alias under its old path, or existing stacks can neither refresh nor delete it.
"""

import logging
import sys
from collections.abc import Iterable, Mapping
from typing import Any

from pulumi.dynamic import DiffResult, ResourceProvider
from pulumi.output import Unknown

Props = dict[str, Any]


class PlaceError(Exception):
    """A place cannot do what was asked; the message says what to do."""


class _NoTraceback(logging.Filter):
    """Keep the traceback of an expected error out of the engine's output."""

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and isinstance(record.exc_info[1], PlaceError))


logging.getLogger("grpc._server").addFilter(_NoTraceback())


def progress(line: str) -> None:
    """Show a line in the output of Pulumi, which reads what its plugins write."""
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


class Provider(ResourceProvider):
    """A dynamic provider that keeps no data in itself, hence nothing secret."""

    serialize_as_secret_always = False


def has_unknown(value: object) -> bool:
    """Tell whether a value, or anything inside it, is not known before the update runs."""
    if isinstance(value, Mapping):
        return any(has_unknown(item) for item in value.values())
    if isinstance(value, list):
        return any(has_unknown(item) for item in value)
    return isinstance(value, Unknown)


def changed(olds: Props, news: Props, keys: Iterable[str]) -> list[str]:
    """Return those of `keys` whose value differs or may turn out to differ."""
    return sorted(key for key in keys if olds.get(key) != news.get(key))


def replacement(olds: Props, news: Props, keys: Iterable[str], also: bool = False) -> DiffResult:
    """Ask for replacement where one of `keys` is known to differ, or `also` holds.

    A value that is still unknown never asks for it: the engine plans with unknowns, and
    would delete a resource for a value that turns out to be the same.
    """
    different = changed(olds, news, keys)
    certain = [key for key in different if not has_unknown(news.get(key))]
    if also and not certain:
        certain = sorted(keys)[:1]  # the engine wants the name of some property
    return DiffResult(changes=bool(different) or also, replaces=certain)
