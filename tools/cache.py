"""The cache that all clones on a machine share: each entry is named by the hash of its inputs.

An entry appears whole or not at all: it is built in a folder beside its place and renamed. A lock
per tool keeps two clones from building the same thing at once.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import shutil
import tempfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from tools.progress import Step


def root() -> Path:
    """Return the cache's folder, `$XDG_CACHE_HOME/guestcomms` or `~/.cache/guestcomms`, made."""
    base = os.environ.get("XDG_CACHE_HOME")
    folder = (Path(base) if base else Path.home() / ".cache") / "guestcomms"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def digest(files: Iterable[Path], *settings: str) -> str:
    """Hash the contents of files, and other inputs given as text, to 12 hexadecimal digits."""
    whole = hashlib.sha256()
    for part in [*(path.read_bytes() for path in files), *(text.encode() for text in settings)]:
        whole.update(hashlib.sha256(part).digest())
    return whole.hexdigest()[:12]


@contextmanager
def locked(name: str, step: Step) -> Iterator[None]:
    """Hold the machine-wide lock `name`; the system frees it if the process dies."""
    with (root() / f"{name}.lock").open("w") as handle:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            step.doing("waiting for another clone that prepares the same")
            fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def build_once(name: str, key: str, step: Step, build: Callable[[Path], None]) -> Path:
    """Return the entry `<name>-<key>`, letting `build` fill it first if it does not exist yet."""
    entry = root() / f"{name}-{key}"
    if entry.is_dir():
        return entry
    with locked(name, step):
        if not entry.is_dir():
            _fill(entry, build)
    return entry


def _fill(entry: Path, build: Callable[[Path], None]) -> None:
    prefix = f".{entry.name}-"
    for leftover in entry.parent.glob(f"{prefix}*"):  # of a build that was killed
        shutil.rmtree(leftover)
    scratch = Path(tempfile.mkdtemp(prefix=prefix, dir=entry.parent))
    try:
        scratch.chmod(0o755)
        build(scratch)
        scratch.rename(entry)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
