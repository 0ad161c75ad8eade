"""k6, the load generator, with SQL."""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tools import cache, golang
from tools.command import ToolError, answer, link, on_path

if TYPE_CHECKING:
    from tools.progress import Step

FILES = ("go.mod", "go.sum", "main.go")
PROBE = """\
import sql from "k6/x/sql";
import driver from "k6/x/sql/driver/pgx-no-ping";
export default function () {}
"""
# A newer k6 would go and fetch a build with the missing extension from a service.
QUIET = {"K6_AUTO_EXTENSION_RESOLUTION": "false", "K6_NO_USAGE_REPORT": "true"}


def ensure(step: Step) -> None:
    """Link a k6 that speaks SQL, PATH's or our own, into `.state/tools/bin`."""
    found = on_path("k6")
    program = found if found and speaks_sql(found) else _built(step)
    link("k6", program)
    step.result = f"{(answer([program, 'version']) or '').split(' (')[0]} at {program}"


def speaks_sql(program: Path) -> bool:
    """Tell whether this k6 can load a script that imports the SQL modules."""
    with tempfile.TemporaryDirectory() as folder:
        script = Path(folder) / "probe.js"
        script.write_text(PROBE, "utf-8")
        return answer([program, "inspect", script], env=QUIET) is not None


def _built(step: Step) -> Path:
    inputs = [golang.MODULES / "k6" / name for name in FILES]
    key = cache.digest(inputs, *golang.BUILD_FLAGS)
    program = cache.build_once("k6", key, step, lambda folder: _build(step, folder)) / "k6"
    if not speaks_sql(program):
        raise ToolError(
            f"{program} cannot load SQL scripts: remove {program.parent}, run make again."
        )
    return program


def _build(step: Step, folder: Path) -> None:
    golang.build(step, "k6", ".", folder / "k6")
    golang.forget_caches("k6")
