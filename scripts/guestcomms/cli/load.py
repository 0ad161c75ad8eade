"""`guestcomms load`: what the cluster carries, measured."""

from __future__ import annotations

import re
import statistics
import tempfile
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.text import Text

from guestcomms.cli.common import (
    JsonOption,
    console,
    load_stack,
    moment,
    print_json,
    progress,
    settings,
    table,
)
from guestcomms.errors import GuestcommsError, RefusedError, UnhealthyError
from guestcomms.load import (
    capacity,
    compare,
    data,
    plan,
    reference,
    report,
    result,
    runner,
    verdict,
)
from guestcomms.load.plan import Catalogue, Scenario
from guestcomms.load.result import Judged, Reference, Result
from guestcomms.load.target import Target

app = typer.Typer(no_args_is_help=True, help="Put load on the cluster and judge what it carries.")
REFERENCE_RATIO = 0.8
RATIO = "the mix by pgbench ÷ pgbench -N, calls/s"
_DEMANDED = f"≥ {REFERENCE_RATIO:g}"
ROUNDS = 3

ProductionOption = Annotated[
    str | None,
    typer.Option(
        "--yes-production",
        metavar="NAME",
        help="The name of the stack, if it is one for production: load takes its capacity and"
        " leaves tenants named Load.",
    ),
]
ClientsOption = Annotated[
    int | None, typer.Option(min=1, help="Hold so many clients instead of the scenario's.")
]
SecondsOption = Annotated[
    float | None,
    typer.Option(min=5, help="Run so long instead, warm-up and steps in proportion."),
]
RateOption = Annotated[
    float | None, typer.Option(min=0.001, help="Multiple of the scenario's rates.")
]
RunArgument = Annotated[
    str,
    typer.Argument(
        metavar="RUN", help="A scenario (its last run), the begin of a run's name, or a file."
    ),
]


@app.command("run")
def run_scenario(
    context: typer.Context,
    scenario: Annotated[
        str, typer.Argument(metavar="SCENARIO", help="One of those that `load scenarios` lists.")
    ],
    clients: ClientsOption = None,
    seconds: SecondsOption = None,
    rate: RateOption = None,
    yes_production: ProductionOption = None,
    json: JsonOption = False,
) -> None:
    """Run a scenario of loadtest/scenarios/scenarios.toml through the front door, and judge it.

    The result goes to .state/load (figures, raw samples, a page for people) and into
    communication_load_metrics. Ctrl-C ends it early and keeps what was measured. Exit code 6 if a
    demand is missed.
    """
    found = plan.catalogue()
    wanted = plan.scaled(found.scenario(scenario), clients=clients, seconds=seconds, rate=rate)
    target = _target(context, yes_production)
    made = _run(target, found, {scenario: wanted})[0]
    _show(made, json=json)
    _judge([made])


@app.command("verify")
def verify(
    context: typer.Context,
    clients: ClientsOption = None,
    seconds: SecondsOption = None,
    rate: RateOption = None,
    turns: Annotated[
        int, typer.Option(min=0, help="Turns of pgbench each way; 0 leaves that comparison out.")
    ] = ROUNDS,
    yes_production: ProductionOption = None,
    json: JsonOption = False,
) -> None:
    """Judge whether the cluster carries 2000 clients at once and the promised rates: one verdict.

    Runs the scenarios that scenarios.toml names for it, then the mix and `pgbench -N` in turns with
    as many clients. Exit code 6 if a demand is missed; then it says what is used up.
    """
    found = plan.catalogue()
    names = found.verify["scenarios"]
    wanted = {
        name: plan.scaled(found.scenario(name), clients=clients, seconds=seconds, rate=rate)
        for name in names
    }
    target = _target(context, yes_production)
    made = _run(target, found, wanted, turns)
    if json:
        print_json({"met": all(one.met for one in made), "runs": [_brief(one) for one in made]})
    else:
        for one in made:
            _print(one)
    _judge(made)


@app.command("scenarios")
def scenarios(json: JsonOption = False) -> None:
    """List what can be run, and what is demanded of it."""
    found = plan.catalogue()
    if json:
        print_json(found.model_dump(mode="json"))
        return
    rows = [
        (name, one.about, f"{plan.duration(one):.0f} s", _demands(one))
        for name, one in found.scenarios.items()
    ]
    console.print(table("Scenarios", ("name", "what", "takes", "demands"), rows))


@app.command("compare")
def compare_runs(
    before: RunArgument,
    after: RunArgument,
    least: Annotated[
        float, typer.Option(min=0, help="Relative change of a median that counts.")
    ] = compare.LEAST_CHANGE,
    json: JsonOption = False,
) -> None:
    """Compare two runs of a scenario by their raw samples; exit code 6 if the second is worse.

    Latency of each operation, and calls a second of a closed scenario, by the Mann-Whitney U test
    on medians and P95 of blocks of two seconds; right answers by calls, wrong answers and demands
    that are no longer met as they are.
    """
    first, second = result.load(before), result.load(after)
    changes = compare.compare(first, second, least)
    if json:
        print_json([vars(one) | {"ratio": one.ratio} for one in changes])
    else:
        rows = [
            (
                one.title, f"{one.before:,.2f}", f"{one.after:,.2f}",
                None if one.ratio is None else f"{one.ratio:.2f}",
                None if one.p is None else f"{one.p:.4f}", _change(one),
            )
            for one in changes
        ]  # fmt: skip
        title = f"{first.file.stem} and {second.file.stem}"
        console.print(table(title, ("median of", "before", "after", "ratio", "P", ""), rows))
    worse = [one.name for one in changes if one.worse]
    if worse:
        raise UnhealthyError(
            f"The second run is worse in {', '.join(worse)}; see both with"
            " `.venv/bin/guestcomms load report RUN`."
        )


@app.command("report")
def show_report(
    run: RunArgument,
    output: Annotated[
        Path | None,
        typer.Option(
            "--output", "-o", show_default="beside the run", metavar="FILE", help="The page."
        ),
    ] = None,
    json: JsonOption = False,
) -> None:
    """Write a kept run as a page with charts, and print its path."""
    found = result.load(run)
    file = report.write(found, output or found.file.with_suffix(".html"))
    if json:
        print_json(_brief(found) | {"report": str(file)})
    else:
        console.print(file.absolute().as_uri(), soft_wrap=True)


@app.command("capacity")
def show_capacity(
    rates: Annotated[
        str, typer.Argument(metavar="[RATES]", help="A run of the rates: scenario, name or file.")
    ] = "sustained-rates",
    limit: Annotated[
        str, typer.Argument(metavar="[LIMIT]", help="A run that raises them until it breaks.")
    ] = "break-point",
    json: JsonOption = False,
) -> None:
    """Write docs/capacity.md from kept runs: machines for 10, 100 and 1000 times the volume."""
    figures = capacity.figures(result.load(rates), result.load(limit))
    if json:
        print_json(figures)
        return
    file = capacity.write(figures)
    console.print(file.as_uri(), soft_wrap=True)


def _target(context: typer.Context, yes_production: str | None) -> Target:
    """The stack under load. Raises `RefusedError` for production without its name."""
    stack = load_stack(context)
    if is_production(stack.name, stack.outputs.spec) and yes_production != stack.name:
        raise RefusedError(
            f"Stack {stack.name!r} is one for production; give --yes-production {stack.name} to put"
            f" load on it, or another --stack than {settings(context).stack}."
        )
    return Target.of(stack)


def is_production(name: str, spec: Any) -> bool:
    """Whether a stack is marked as production: by its name, or its place's tag `environment`."""
    marks = {"prod", "production", "live"}
    tags = (spec.get("place") or {}).get("tags") or {}
    said = [str(value) for key, value in tags.items() if key.lower() == "environment"]
    return bool(marks & set(re.split(r"[^a-z0-9]+", " ".join([name, *said]).lower())))


def _run(
    target: Target, found: Catalogue, wanted: dict[str, Scenario], turns: int = 0
) -> list[Result]:
    """Run one after the other and keep each; Ctrl-C ends what runs, and nothing follows it."""
    made: list[Result] = []
    runner.k6_version()  # before tenants are made and minutes are spent
    if turns:
        reference.must_be_installed()
    with _saying() as say:
        tenants = data.prepare(target, found, say)
        for name, one in wanted.items():
            made.append(runner.perform(target, runner.Run(name, one, found), tenants, say))
            try:
                if turns and one.model == "closed" and not made[-1].interrupted:
                    _refer(target, found, tenants, made[-1], turns)
            finally:
                report.write(made[-1], made[-1].file.with_suffix(".html"))
                result.store(made[-1], target)
            if made[-1].interrupted:
                break
    return made


def _refer(
    target: Target, found: Catalogue, tenants: data.Data, closed: Result, turns: int
) -> None:
    """Measure pgbench with as many clients, and judge the ratio."""
    clients = closed.scenario.clients
    seconds = max(10.0, closed.scenario.shape.hold / 2)
    need = round(plan.CLOSED_CALLS_PER_SECOND * 0.05 * seconds * (turns + 1))
    with _saying() as say, tempfile.TemporaryDirectory(prefix="guestcomms-load-") as folder:
        tenants.slices.clear()
        try:
            tenants.cut(target, f"{closed.run_id[:8]} pgbench", need, say)
            closed.reference = reference.measure(
                target, found, tenants, Path(folder),
                clients=clients, seconds=seconds, rounds=turns, say=say,
            )  # fmt: skip
            measured = _ratio(closed.reference)
        except GuestcommsError as error:  # what the scenario has shown is kept
            measured = Judged(what=RATIO, demanded=_DEMANDED, measured=str(error), met=False)
        except KeyboardInterrupt:
            closed.interrupted = True
            measured = Judged(what=RATIO, demanded=_DEMANDED, measured="interrupted", met=False)
        finally:
            tenants.cancel(target, say)
    closed.verdict.append(measured)
    closed.causes = verdict.causes(closed)
    closed.save()


def _ratio(measured: Reference) -> Judged:
    ratio = statistics.median(measured.mix) / statistics.median(measured.plain)
    return Judged(
        what=RATIO,
        demanded=_DEMANDED,
        measured=f"{ratio:.2f}",
        met=ratio >= REFERENCE_RATIO,
    )


@contextmanager
def _saying() -> Iterator[data.Say]:
    with progress.status("…") as shown:
        last = [""]

        def say(text: str) -> None:
            shown.update(text)
            # Where nobody sees the line change, each stage is a line; seconds are not.
            if not progress.is_terminal and not text[:1].isdigit() and text != last[0]:
                progress.print(text, markup=False)
                last[0] = text

        yield say


def _show(made: Result, *, json: bool) -> None:
    if json:
        print_json(_brief(made))
    else:
        _print(made)


def _brief(made: Result) -> dict[str, Any]:
    """The run without its series and samples."""
    hidden = {"series", "blocks"}
    added = {"met": made.met, "saturated": verdict.saturated(made), "file": str(made.file)}
    return {**made.model_dump(mode="json", exclude=hidden), **added}


def _print(made: Result) -> None:
    title = f"{made.name} on {made.stack}, {moment(made.started_at)}"
    marks = {True: Text("met", "green"), False: Text("missed", "bold red")}
    rows = [(one.what, one.demanded, one.measured, marks[one.met]) for one in made.verdict]
    console.print(table(title, ("what", "demanded", "measured", ""), rows))
    console.print(table("Operations", _HEAD, _operations(made)))
    for line in verdict.saturated(made):
        console.print(f"Used up first: {line}", markup=False)
    for text, count in sorted(made.errors.items(), key=lambda item: -item[1])[:5]:
        console.print(f"{count} times {text}", markup=False)
    console.print(f"{made.file.with_suffix('.html').as_uri()}\n", soft_wrap=True)


_HEAD = ("operation", "rate", "answers", "per s", "failed", "wrong", "dropped", "P50 ms", "P99 ms")


def _operations(made: Result) -> Iterable[tuple[object, ...]]:
    for step in made.steps:
        for name, one in step.operations.items():
            yield (
                name, f"{step.rate:g}", one.answered, f"{one.per_second:,.1f}", one.failed,
                one.wrong, one.dropped, _ms(one.p50_ms), _ms(one.p99_ms),
            )  # fmt: skip


def _ms(value: float | None) -> str | None:
    return None if value is None else f"{value:,.1f}"


def _demands(one: Scenario) -> str:
    wanted = one.demand.model_dump(exclude_none=True)
    return ", ".join(f"{name} {value:g}" for name, value in wanted.items())


def _change(one: compare.Change) -> Text:
    return (
        Text("worse", "bold red") if one.worse
        else Text("better", "green") if one.better
        else Text("the same")
    )  # fmt: skip


def _judge(made: list[Result]) -> None:
    """Raise `UnhealthyError` with the causes if a demand was missed; Ctrl-C if it ended a run."""
    if any(one.interrupted for one in made):
        raise KeyboardInterrupt
    missed = [one for one in made if not one.met]
    if missed:
        causes = list(dict.fromkeys(cause for one in missed for cause in one.causes))
        names = ", ".join(one.name for one in missed)
        raise UnhealthyError(f"Demands were missed in {names}: {'; '.join(causes)}.")
