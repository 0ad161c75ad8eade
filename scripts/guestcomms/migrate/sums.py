"""migrations/SUMS: one checksum a file, so that an edit shows and two branches conflict in git.

yoyo remembers a migration by its name: without this file, and the checksum in the ledger, an edited
migration would stay unnoticed.
"""

from __future__ import annotations

from collections import defaultdict
from pathlib import Path

from guestcomms.errors import RefusedError
from guestcomms.migrate.project import Project, sha256


def path(project: Project) -> Path:
    """The file itself."""
    return project.migrations_folder / "SUMS"


def read(project: Project) -> dict[str, set[str]]:
    """Checksums by file name, as the file says: two after a merge, until `write` leaves one."""
    if not path(project).exists():
        return {}
    lines = path(project).read_text(encoding="utf-8").splitlines()
    noted: defaultdict[str, set[str]] = defaultdict(set)
    for line in filter(str.strip, lines):
        checksum, name = line.split(maxsplit=1)
        noted[name].add(checksum)
    return noted


def check(project: Project) -> None:
    """Raise `RefusedError` unless the file names every migration, with the checksum it has."""
    noted = read(project)
    present = {file.name: sha256(file) for file in project.migration_files()}
    for name in sorted(noted.keys() | present.keys()):
        if name not in present:
            raise RefusedError(
                f"migrations/{name} is in SUMS but not in the folder; bring it back with"
                f" `git checkout -- migrations/{name}`: applied migrations are never deleted."
            )
        if name not in noted:
            raise RefusedError(
                f"migrations/{name} is not in SUMS; run `.venv/bin/guestcomms migrate sums` once it"
                " is done."
            )
        if present[name] not in noted[name]:
            raise RefusedError(
                f"migrations/{name} was edited after it was added to SUMS; undo the edit and write"
                " a new migration, or, if it was never applied anywhere, run"
                f" `.venv/bin/guestcomms migrate sums --edited {name}`."
            )


def write(project: Project, edited: frozenset[str] = frozenset()) -> list[str]:
    """Add the files that are not in SUMS yet; returns the names whose line is new or other.

    Parameters: `edited` names files whose changed content is accepted, because they were never
    applied anywhere. Raises `RefusedError` for any other change, and for a name that has none.
    """
    noted = read(project)
    present = {file.name: sha256(file) for file in project.migration_files()}
    changed = [name for name, checksum in present.items() if checksum not in noted.get(name, ())]
    if unexpected := [name for name in changed if name in noted and name not in edited]:
        raise RefusedError(
            f"migrations/{unexpected[0]} was edited after it was added to SUMS; undo the edit, or,"
            " if it was never applied anywhere, accept it with"
            f" `.venv/bin/guestcomms migrate sums --edited {unexpected[0]}`."
        )
    if unknown := sorted(edited - set(changed)):
        raise RefusedError(f"migrations/{unknown[0]} has no edit to accept; check the name.")
    lines = (f"{checksum}  {name}\n" for name, checksum in sorted(present.items()))
    path(project).write_text("".join(lines), encoding="utf-8")
    return changed
