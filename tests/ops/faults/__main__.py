"""Do faults to a cluster: `python -m tests.ops.faults [NAME …]`, by `make chaos`.

Evidence is appended to .state/chaos/evidence.jsonl after every run, and docs/faults.md made from
it. A campaign that was killed, by kill -9 too, goes on where it stopped when the same command is
given again; its cluster is still there. Exit status 1 if a write was lost, doubled or accepted by
two primaries, if the cluster did not become whole again, or if a control found nothing; a promised
outage that was exceeded is reported, as the machine may have been busy. Status 2 for an unknown
name.
"""

from __future__ import annotations

import json
import os
from datetime import UTC, datetime
from functools import partial
from typing import Annotated

import typer
from rich.console import Console
from rich.status import Status
from rich.table import Table

from tests.ops.faults.catalogue import FAULTS
from tests.ops.faults.report import write_document
from tests.ops.faults.run import Evidence, outage, promised, run
from tests.ops.faults.stage import Stage
from tools.command import BIN, ROOT, VENV

STATE = ROOT / ".state" / "chaos"
EVIDENCE = STATE / "evidence.jsonl"
CAMPAIGN = STATE / "campaign.json"
DOCUMENT = ROOT / "docs" / "faults.md"
console = Console(stderr=True)


def main(
    names: Annotated[list[str] | None, typer.Argument(help="Faults; none: all.")] = None,
    runs: Annotated[int, typer.Option(help="Runs of each; 0: as many as each wants.", min=0)] = 0,
    keep: Annotated[bool, typer.Option(help="Leave the cluster up for another campaign.")] = False,
    fresh: Annotated[bool, typer.Option(help="Forget a campaign that was killed.")] = False,
    listing: Annotated[bool, typer.Option("--list", help="Name the faults, do nothing.")] = False,
) -> None:
    """Do faults, judge what became of the writes, and write docs/faults.md."""
    if listing:
        show_faults()
        return
    chosen = names or list(FAULTS)
    if unknown := [name for name in chosen if name not in FAULTS]:
        console.print(f"There is no fault {unknown[0]}; there are {', '.join(FAULTS)}.")
        raise typer.Exit(2)
    os.environ["PATH"] = os.pathsep.join([str(VENV / "bin"), str(BIN), os.environ["PATH"]])
    STATE.mkdir(parents=True, exist_ok=True)
    plan = [
        (name, number) for name in chosen for number in range(1, (runs or FAULTS[name].runs) + 1)
    ]
    campaign = begin(plan, fresh=fresh)
    done = {(one["fault"], one["run"]) for one in evidence() if one["campaign"] == campaign}
    stage = Stage(STATE)
    console.print(f"{len(plan) - len(done)} runs to do, {len(done)} done; campaign {campaign}")
    perform(stage, campaign, [one for one in plan if one not in done])
    CAMPAIGN.unlink()
    if not keep:
        stage.close()
    found = [one for one in evidence() if one["campaign"] == campaign]
    show(found)
    if any(one["problems"] for one in found):
        raise typer.Exit(1)


def begin(plan: list[tuple[str, int]], *, fresh: bool) -> str:
    """The campaign to go on with if the same was killed, or a new one."""
    wanted = [list(one) for one in plan]
    if CAMPAIGN.exists() and not fresh:
        kept = json.loads(CAMPAIGN.read_text("utf-8"))
        if kept["plan"] == wanted:
            return str(kept["campaign"])
    campaign = datetime.now(UTC).strftime("%Y%m%dT%H%M%SZ")
    CAMPAIGN.write_text(json.dumps({"campaign": campaign, "plan": wanted}), "utf-8")
    return campaign


def perform(stage: Stage, campaign: str, plan: list[tuple[str, int]]) -> None:
    """Do the runs, each on a whole cluster, and keep the evidence of each at once."""
    if plan:
        with console.status("bringing the cluster up"):
            stage.rise()
    for index, (name, number) in enumerate(plan, 1):
        journal = STATE / f"{campaign}-{name}-{number}.csv"
        label = f"{index}/{len(plan)} {name} #{number}"
        with console.status(label) as status:
            one = run(stage, FAULTS[name], journal, partial(_tell, status, label))
        append({"campaign": campaign, "run": number, **one})
        if not one["problems"]:
            journal.unlink()
        console.print(line(label, one))
        write_document(evidence(), DOCUMENT)
        if "gap" not in one:
            with console.status("making the cluster whole"):
                stage.renew()


def _tell(status: Status, label: str, step: str) -> None:
    status.update(f"{label}: {step}")


def append(one: Evidence) -> None:
    """Add a line to the evidence; once it is there it stays, whatever happens next."""
    with EVIDENCE.open("a", encoding="utf-8") as file:
        file.write(json.dumps(one) + "\n")
        file.flush()
        os.fsync(file.fileno())


def evidence() -> list[Evidence]:
    """All runs ever; a line that a kill cut off is none."""
    if not EVIDENCE.exists():
        return []
    lines = EVIDENCE.read_text("utf-8").splitlines(keepends=True)
    return [json.loads(line) for line in lines if line.endswith("\n")]


def line(label: str, one: Evidence) -> str:
    """A run in a line."""
    if "gap" not in one:
        return f"[red]✗[/] {label}: {one['problems'][0]}"
    mark = "[red]✗[/]" if one["problems"] else "[green]✓[/]"
    return (
        f"{mark} {label}: {one['acknowledged']:,} acknowledged ({one['per_second']}/s), lost"
        f" {one['damage']['lost']}, doubled {one['damage']['doubled']}, gap {one['gap']} s, outage"
        f" {one['outage']} s, redundant after {one['whole_after_undo']} s,"
        f" took {one['seconds']:.0f} s" + "".join(f"\n    {problem}" for problem in one["problems"])
    )


def show(found: list[Evidence]) -> None:
    """Print a campaign's runs, with promises that were not kept in red."""
    table = Table(
        "fault", "run", "acknowledged", "lost", "doubled", "outage", "promise", "problems"
    )
    for one in found:
        promise = promised(one)
        seconds = f"{outage(one):.1f} s" if "gap" in one else "?"
        late = promise is not None and "gap" in one and outage(one) > promise
        table.add_row(
            one["fault"], str(one["run"]), f"{one.get('acknowledged', 0):,}",
            str(one.get("damage", {}).get("lost", "?")),
            str(one.get("damage", {}).get("doubled", "?")),
            f"[red]{seconds}" if late else seconds,
            "" if promise is None else f"{promise:g} s",
            "; ".join(problem.splitlines()[0][:80] for problem in one["problems"]),
        )  # fmt: skip
    console.print(table)


def show_faults() -> None:
    """Print what there is to choose from."""
    table = Table("fault", "what happens", "group", "runs")
    for fault in FAULTS.values():
        table.add_row(fault.name, fault.title, fault.group, str(fault.runs))
    Console().print(table)


if __name__ == "__main__":
    typer.run(main)
