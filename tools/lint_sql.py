"""Check all SQL of the repository: `python -m tools.lint_sql`.

Four readers, because none sees everything: PostgreSQL's own parser for every statement, its
PL/pgSQL parser and Python's for function bodies (the linters pass a body with `END IFF;`), squawk
for migrations that would lock a table in use, sqlfluff for layout.
"""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import TYPE_CHECKING

import pglast
from pglast.parser import ParseError

from tools.command import ROOT, VENV

if TYPE_CHECKING:
    from collections.abc import Iterator

# The PL/pgSQL parser knows types of `public` only; which schema they are in matters not to syntax.
OTHER_SCHEMAS = re.compile(r"\b(?:internal|extensions|partman|cron|pgbouncer)\.")
FOLDERS = ("functions", "policies", "migrations", "infra/machine/files/bootstrap")


def main() -> int:
    """Run all readers, print what they find; return the program's exit status."""
    files = sorted(path for name in FOLDERS for path in (ROOT / name).rglob("*.sql"))
    problems = [problem for path in files for problem in syntax_problems(path)]
    for problem in problems:
        sys.stdout.write(f"{problem}\n")
    readable = not problems  # the linters would repeat what is said already
    clean = readable and squawk_passes(forward_migrations(files)) and sqlfluff_passes(files)
    if clean:
        sys.stdout.write(f"{len(files)} SQL files are fine\n")
    return 0 if clean else 1


def syntax_problems(path: Path) -> Iterator[str]:
    """Yield `file:line: message` for what PostgreSQL or Python could not read in a file."""
    text = path.read_text("utf-8")
    try:
        statements = pglast.parse_sql(text)
    except ParseError as error:
        message, index = error.args
        yield _problem(path, text, index or 0, message)
        return
    for statement in statements:
        start = statement.stmt_location or 0
        length = statement.stmt_len or len(text) - start
        for message in _body_problems(statement.stmt, text[start : start + length]):
            yield _problem(path, text, start, message)


def forward_migrations(files: list[Path]) -> list[Path]:
    """Leave out what is no migration, and rollbacks, whose purpose is to drop things."""
    folder = ROOT / "migrations"
    return [path for path in files if path.parent == folder and ".rollback." not in path.name]


def squawk_passes(migrations: list[Path]) -> bool:
    """Tell whether migrations can run beside live traffic."""
    return not migrations or _passes("squawk", *migrations)


def sqlfluff_passes(files: list[Path]) -> bool:
    """Tell whether the layout is the house's."""
    options = ["--config", ROOT / ".sqlfluff", "--nocolor", "--disable-progress-bar"]
    return not files or _passes("sqlfluff", "lint", *map(str, options), *files)


def _body_problems(statement: pglast.ast.Node | None, text: str) -> Iterator[str]:
    if not isinstance(statement, pglast.ast.CreateFunctionStmt | pglast.ast.DoStmt):
        return
    options = getattr(statement, "options", None) or getattr(statement, "args", None) or ()
    values = {option.defname: option.arg for option in options}
    language = values["language"].sval if "language" in values else "plpgsql"
    try:
        if language == "plpgsql":
            pglast.parse_plpgsql(OTHER_SCHEMAS.sub("public.", text))
        elif language == "plpython3u":
            body = values["as"][0].sval
            ast.parse(f"def body():\n{textwrap.indent(body, '    ')}")
    except ParseError as error:
        yield f"{_name(statement)}: {error.args[0]}"
    except SyntaxError as error:
        yield f"{_name(statement)}, line {(error.lineno or 1) - 1} of its body: {error.msg}"


def _name(statement: pglast.ast.Node) -> str:
    name = getattr(statement, "funcname", None)
    return ".".join(part.sval for part in name) if name else "DO block"


def _problem(path: Path, text: str, index: int, message: str) -> str:
    return f"{path}:{text.count(chr(10), 0, index) + 1}: {message}"


def _passes(program: str, *arguments: str | Path) -> bool:
    command = [str(VENV / "bin" / program), *map(str, arguments)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        sys.stdout.write(done.stdout + done.stderr)
    return done.returncode == 0


if __name__ == "__main__":
    sys.exit(main())
