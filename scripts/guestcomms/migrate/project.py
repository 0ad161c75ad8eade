"""The SQL of the repository: which files there are, and what their names say.

- migrations/NNNN.name.sql, NNNN.name.rollback.sql, SUMS: applied once, in order
- functions/<schema>/<name>.sql: applied again whenever they change
- functions/views/<name>.sql, functions/views/<schema>.<name>.sql: the same, after the functions
- policies/<relation>.sql, policies/<schema>.<relation>.sql: the same, after the views
- functions/jobs/<name>.sql: the same, after the policies; only where pg_cron is
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Literal, get_args

from guestcomms.errors import RefusedError

Kind = Literal["function", "view", "policy", "job"]
"""In the order in which they are applied."""

MIGRATION_NAME = re.compile(r"(?P<id>\d{4}\.[a-z0-9]+(?:-[a-z0-9]+)*)(?:\.rollback)?\.(?:sql|py)")
PLAIN_NAME = re.compile(r"[a-z_][a-z0-9_]*")
JOB_NAME = re.compile(r"[a-z][a-z0-9-]*")
JOB = re.compile(
    r"(?:--[^\n]*\n|\s)*"
    r"SELECT cron\.schedule\(\s*'(?P<name>[^']*)',\s*'[^']*',\s*"
    r"\$(?P<tag>\w*)\$(?:(?!\$(?P=tag)\$).)+\$(?P=tag)\$\s*\);\s*",
    re.DOTALL,
)
"""What a file of functions/jobs/ contains, and nothing else."""


@dataclass(frozen=True)
class Migration:
    """A versioned change: `id` is the file's name without its ending, as yoyo calls it."""

    id: str
    file: Path
    rollback_file: Path | None
    sha256: str

    @property
    def path(self) -> str:
        """The name in the ledger."""
        return f"migrations/{self.file.name}"


@dataclass(frozen=True)
class Repeatable:
    """A file of functions/ or policies/, and the object its path names."""

    kind: Kind
    path: str
    schema: str
    name: str
    text: str
    sha256: str


@dataclass(frozen=True)
class Project:
    """A tree with the folders migrations, functions and policies."""

    root: Path

    @property
    def migrations_folder(self) -> Path:
        """Where every .sql and .py file is a migration."""
        return self.root / "migrations"

    def migration_files(self) -> list[Path]:
        """All files of the folder but SUMS, rollbacks included, by name.

        Raises `RefusedError` for a file whose name is none of a migration.
        """
        if not self.migrations_folder.is_dir():
            raise RefusedError(f"There is no folder {self.migrations_folder}; run in a clone.")
        files = sorted(path for path in self.migrations_folder.iterdir() if path.name != "SUMS")
        for path in files:
            if path.is_file() and not MIGRATION_NAME.fullmatch(path.name):
                raise RefusedError(
                    f"migrations/{path.name} is no name of a migration; name it like"
                    " 0007.add-note.sql and 0007.add-note.rollback.sql, or move it elsewhere."
                )
        return [path for path in files if path.is_file()]

    def migrations(self) -> list[Migration]:
        """The migrations in the order in which they are applied.

        Raises `RefusedError` if two have the same number or a rollback belongs to none.
        """
        files = {path.name: path for path in self.migration_files()}
        found = [
            _migration(path, files.get(f"{path.stem}.rollback.sql"))
            for name, path in files.items()
            if ".rollback." not in name
        ]
        _check_numbers(found)
        expected = {migration.rollback_file for migration in found}
        for name, path in files.items():
            if ".rollback." in name and path not in expected:
                raise RefusedError(f"migrations/{name} rolls back nothing; rename or delete it.")
        return found

    def repeatables(self) -> list[Repeatable]:
        """The files of functions/ and policies/, in the order in which they are applied.

        Raises `RefusedError` for a file that cannot be what its path says.
        """
        files = [*self.root.glob("functions/*/*.sql"), *self.root.glob("policies/*.sql")]
        found = [self._repeatable(path) for path in sorted(files)]
        return sorted(found, key=lambda file: get_args(Kind).index(file.kind))

    def _repeatable(self, path: Path) -> Repeatable:
        relative = path.relative_to(self.root).as_posix()
        kind, schema, name = named_by(relative)
        plain = JOB_NAME if kind == "job" else PLAIN_NAME
        if not (PLAIN_NAME.fullmatch(schema) and plain.fullmatch(name)):
            raise RefusedError(
                f"{relative} does not name an object; the name is made of a-z, 0-9 and _ (a job's:"
                " and -), such as functions/public/enter_tenant.sql or"
                " policies/internal.pool_reports.sql."
            )
        text = path.read_text(encoding="utf-8")
        if kind == "job":
            job = JOB.fullmatch(text)
            if job is None or job["name"] != name:
                raise RefusedError(
                    f"{relative} must be one statement and nothing else: SELECT"
                    f" cron.schedule('{name}', '<schedule>', $$<command>$$);"
                )
        return Repeatable(kind, relative, schema, name, text, sha256(path))


def named_by(path: str) -> tuple[Kind, str, str]:
    """Kind, schema and name of the object that the path of a repeatable file names."""
    *folders, stem = path.removesuffix(".sql").split("/")
    if folders == ["functions", "jobs"]:
        return "job", "cron", stem
    if folders[0] == "functions" and folders[1] != "views":
        return "function", folders[1], stem
    schema, _, name = stem.rpartition(".")
    return "policy" if folders == ["policies"] else "view", schema or "public", name


def sha256(path: Path) -> str:
    """Checksum of a file's bytes."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _migration(path: Path, rollback_file: Path | None) -> Migration:
    return Migration(path.stem, path, rollback_file, sha256(path))


def _check_numbers(migrations: list[Migration]) -> None:
    for earlier, later in pairwise(migrations):
        if earlier.id[:4] == later.id[:4]:
            raise RefusedError(
                f"{earlier.path} and {later.path} have the same number; give the newer one, which"
                " is applied nowhere yet, the next free number."
            )
