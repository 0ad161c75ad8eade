"""Run benchmarks: `python -m loadtest.bench [NAME …]`; NAME is l4, l5 … or a module's name.

Writes one JSON file per run to .state/bench/ and the table of the last full results of each
benchmark to docs/benchmarks.md. Exit status 1 if a target is missed, 2 for an unknown name.
"""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import platform
import subprocess
import sys
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from types import ModuleType
from typing import Annotated, Any

import typer
from rich.console import Console
from rich.table import Table

from loadtest import bench as package
from loadtest.bench.model import Bench, Comparison
from loadtest.bench.report import write_document
from tests.db.server import bootstrapped_server

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / ".state" / "bench"
MEMORY_MIB = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") // 2**20
# As on the database machines of a cluster: infra/machine/postgres.py.
SETTINGS = {
    "fsync": "on",
    "shared_buffers": f"{MEMORY_MIB // 4}MB",
    "effective_cache_size": f"{MEMORY_MIB * 3 // 4}MB",
    "max_wal_size": "8GB",
    "wal_compression": "zstd",
    "checkpoint_timeout": "15min",
    "maintenance_work_mem": "512MB",
    "random_page_cost": "1.1",
    "jit": "off",
    "enable_partitionwise_join": "on",
}
console = Console(stderr=True)


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Benchmarks; none: all.")] = None,
    quick: Annotated[bool, typer.Option(help="Little data: does it work?")] = False,
) -> None:
    """Measure, write results, and tell whether all targets are met."""
    modules = chosen(names or [])
    results: dict[str, list[Comparison]] = {}
    with bootstrapped_server(SETTINGS) as server:
        version = Bench(server, quick, console.print).database().value("SHOW server_version")
        for name, module in modules.items():
            console.rule(name)
            bench = Bench(server, quick, console.print)
            results[name] = module.run(bench)
            show(results[name])
            for database in bench.databases:
                database.drop()
            save(results, quick=quick, version=str(version))
    missed = [one.name for found in results.values() for one in found if not one.met]
    if missed and not quick:
        console.print(f"Below target: {', '.join(missed)}")
        raise typer.Exit(1)


def chosen(names: list[str]) -> dict[str, ModuleType]:
    """The benchmark modules by name."""
    known = sorted(one.name for one in pkgutil.iter_modules(package.__path__) if one.name[0] == "l")
    for name in names:
        if not any(name in {one, *one.split("_")} for one in known):
            console.print(f"There is no benchmark {name}; there are {', '.join(known)}.")
            raise typer.Exit(2)
    wanted = [one for one in known if not names or any(n in {one, *one.split("_")} for n in names)]
    return {name: importlib.import_module(f"loadtest.bench.{name}") for name in wanted}


def show(comparisons: list[Comparison]) -> None:
    """Print what was measured."""
    table = Table("comparison", "ratio", "target", "subject", "reference", "note")
    for one in comparisons:
        sign = "≤" if one.at_most else "≥"
        table.add_row(
            one.name,
            f"[{'green' if one.met else 'red'}]{one.ratio:.2f}",
            f"{sign} {one.target:g}",
            one.subject,
            one.reference,
            one.note,
        )
    console.print(table)


def save(results: dict[str, list[Comparison]], *, quick: bool, version: str) -> None:
    """Write the run as JSON with machine, versions, commit, settings and raw samples."""
    document: dict[str, Any] = {
        "time": datetime.now(UTC).isoformat(timespec="seconds"),
        "command": f"python -m loadtest.bench {' '.join(sys.argv[1:])}".strip(),
        "commit": git("rev-parse", "--short", "HEAD") + ("+" if git("status", "--short") else ""),
        "machine": {
            "cores": os.cpu_count(),
            "memory_gib": round(MEMORY_MIB / 1024),
            "system": platform.platform(),
        },
        "postgresql": version,
        "settings": SETTINGS,
        "quick": quick,
        "results": {
            name: [asdict(one) | {"ratio": one.ratio, "met": one.met} for one in found]
            for name, found in results.items()
        },
    }
    RESULTS.mkdir(parents=True, exist_ok=True)
    stamp = STARTED.strftime("%Y%m%dT%H%M%SZ")
    (RESULTS / f"{stamp}.json").write_text(json.dumps(document, indent=1) + "\n", "utf-8")
    if not quick:
        write_document(document, ROOT / "docs" / "benchmarks.md")


def git(*arguments: str) -> str:
    """What git answers."""
    done = subprocess.run(["git", *arguments], cwd=ROOT, capture_output=True, text=True, check=True)
    return done.stdout.strip()


STARTED = datetime.now(UTC)

if __name__ == "__main__":
    typer.run(main)
