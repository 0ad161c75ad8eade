"""Builds the agent: one executable zipapp, equal byte for byte wherever it is built."""

import hashlib
import os
import tempfile
import zipfile
from collections.abc import Sequence
from pathlib import Path

LEFT_OUT = {"__main__.py", "build.py"}  # what only the repository needs
EARLIEST = (1980, 1, 1, 0, 0, 0)  # the oldest time a zip archive can hold
MODE = 0o100644 << 16
UNIX = 3
INTERPRETER = b"#!/usr/bin/python3\n"
ENTRY = b"from infra.agent.cli import main\n\nraise SystemExit(main())\n"


def build(target: Path) -> str:
    """Write the zipapp to `target`, executable, and return the sha256 of its bytes.

    Entries are sorted and carry fixed times and modes, and are stored without compression, whose
    output differs between versions of zlib. `target` is replaced in one step: whoever delivers it
    meanwhile gets the old agent or the new one, whole.
    """
    sources = sorted(
        path for path in Path(__file__).parent.glob("*.py") if path.name not in LEFT_OUT
    )
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, name = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name}.")
    os.close(descriptor)
    temporary = Path(name)
    try:
        _write(temporary, sources)
        digest = hashlib.sha256(temporary.read_bytes()).hexdigest()
        temporary.chmod(0o755)
        temporary.replace(target)
    finally:
        temporary.unlink(missing_ok=True)
    return digest


def _write(target: Path, sources: Sequence[Path]) -> None:
    with target.open("wb") as stream:
        stream.write(INTERPRETER)
        with zipfile.ZipFile(stream, "w", zipfile.ZIP_STORED) as archive:
            _add(archive, "__main__.py", ENTRY)
            # Modules keep their names: a traceback on a machine names the file in the repository.
            _add(archive, "infra/__init__.py", b"")
            for source in sources:
                _add(archive, f"infra/agent/{source.name}", source.read_bytes())


def _add(archive: zipfile.ZipFile, name: str, content: bytes) -> None:
    entry = zipfile.ZipInfo(name, EARLIEST)
    entry.external_attr = MODE
    entry.create_system = UNIX
    archive.writestr(entry, content)
