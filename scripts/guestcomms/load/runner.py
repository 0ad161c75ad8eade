"""One run from beginning to end: data, samplers, k6, figures, verdict."""

from __future__ import annotations

import json
import os
import shutil
import signal
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from guestcomms import db, paths, run
from guestcomms.errors import GuestcommsError
from guestcomms.load import data, plan, result, verdict, watch
from guestcomms.load.plan import Catalogue, Scenario
from guestcomms.load.result import Result, Samples
from guestcomms.load.target import Target

INSTALL = "run `make tools`"
STOP_SECONDS = 90.0
"""After its time k6 has so long for making its clients and for ending; then it is killed."""
QUIET = {
    "K6_NO_USAGE_REPORT": "true",
    "K6_AUTO_EXTENSION_RESOLUTION": "false",
    "K6_CSV_TIME_FORMAT": "unix_milli",
}
# Hundreds of JavaScript heaps are searched for garbage more rarely, while there is memory.
GARBAGE = {"GOGC": "400", "GOMEMLIMIT": "3GiB"}
Say = Callable[[str], None]


@dataclass(frozen=True)
class Run:
    """What is done: a scenario by name, as it is after scaling, with its catalogue.

    `exec_mode` is how the driver speaks to the pooler; anything but the default is for comparing,
    and for showing that a wrong one is noticed. `prefix` goes before k6, such as taskset.
    """

    name: str
    scenario: Scenario
    catalogue: Catalogue
    exec_mode: str = "exec"
    prefix: tuple[str, ...] = ()


def perform(target: Target, wanted: Run, made: data.Data, say: Say) -> Result:
    """Run a scenario and judge it. Ctrl-C ends it early and keeps what was measured.

    Parameters: `made`, the tenants of `data.prepare`; `say` is told how far it is.
    Raises `RefusedError` without k6, `GuestcommsError` if k6 could not begin.
    """
    run_id = result.new_id()
    with tempfile.TemporaryDirectory(prefix="guestcomms-load-") as name:
        folder = Path(name)
        need = plan.needed(wanted.scenario, wanted.catalogue)
        made.slices.clear()
        try:
            made.cut(target, run_id[:8], need["slices"], say)
            made.queue(target, run_id[:8], need["messages"], say)
            made.write(folder)
            _write_plan(folder, wanted, made, run_id)
            return _measure(target, wanted, folder, run_id, say)
        finally:
            _cancel(target, made, say)


def _cancel(target: Target, made: data.Data, say: Say) -> None:
    """Cancel what was not sent; a database that does not answer does not hide what was measured."""
    try:
        made.cancel(target, say)
    except db.DatabaseError as error:
        say(
            f"Messages of this run stay queued, and are tenants' of load runs: cancelling failed:"
            f" {db.first_line(error)}"
        )


def _write_plan(folder: Path, wanted: Run, made: data.Data, run_id: str) -> None:
    order, per_mix = plan.mix(wanted.catalogue)
    document = {
        "options": plan.k6_options(wanted.scenario, wanted.catalogue),
        "run": run_id,
        "exec_mode": wanted.exec_mode,
        "repeats": wanted.scenario.repeats,
        "connected": wanted.scenario.model == "open",
        "mix": order,
        "per_mix": per_mix,
        "sizes": wanted.catalogue.sizes,
        "variables": data.VARIABLES,
        "tenants": made.brief(),
        "shares": made.shares(),
    }
    (folder / "plan.json").write_text(json.dumps(document), "utf-8")


def _measure(target: Target, wanted: Run, folder: Path, run_id: str, say: Say) -> Result:
    versions = result.describe_target(target) | {"k6": k6_version()}
    seconds = plan.duration(wanted.scenario)
    with watch.Watch(target, folder, seconds) as watching:
        started = result.now()
        child = _start(target, wanted, folder)
        say(f"Load for {seconds:.0f} s …")
        cpu, interrupted = _wait(child, seconds, watching, say)
        completed = result.now()
    samples = Samples(folder / "samples.csv.gz")
    if not samples.calls and interrupted:
        raise KeyboardInterrupt
    if not samples.calls:
        said = (folder / "k6.log").read_text("utf-8", errors="replace").strip().splitlines()
        raise GuestcommsError(
            f"k6 made no call (exit code {child.returncode}): {' | '.join(said[-3:])[:600]}; look"
            " at the front door with `.venv/bin/guestcomms status`."
        )
    say("Reading samples …")
    begin = samples.began
    windows = plan.windows(wanted.scenario)
    names = plan.operations(wanted.scenario, wanted.catalogue)
    low, high = begin + windows[0].begin, begin + windows[-1].end
    seen = watching.samples()
    lags = sorted(value for at, value in samples.lags if low <= at < high)
    made = Result(
        run_id=run_id, name=wanted.name, stack=target.name, place=target.place,
        scenario=wanted.scenario, started_at=started, completed_at=completed,
        interrupted=interrupted, machine=result.machine(), commit=result.commit(),
        versions=versions,
        generator={
            "lag_p95_ms": result.percentile(lags, 95), "lag_max_ms": lags[-1] if lags else None,
            "cpu_cores": cpu, "exit_code": child.returncode,
            "last_answer_s": samples.ended - begin, "cut_off": samples.cut,
        },
        generator_rates={name: wanted.catalogue.per_minute.get(name, 0) / 60 for name in names},
        steps=samples.steps(begin, windows, names), errors=samples.errors, wrong=samples.wrong,
        blocks=samples.blocks(begin, windows), server=watch.figures(seen, low, high),
        series=watch.series(seen, begin) | _of_calls(samples, begin),
    )  # fmt: skip
    _add_server_times(made)
    if wanted.scenario.demand.limit is not None:
        made.limit = verdict.limit(made)
        broken = next((one for one in made.steps if one.rate > made.limit), None)
        if broken:
            made.broken = watch.figures(seen, begin + broken.begin, begin + broken.end)
    made.verdict = verdict.judge(made)
    made.causes = verdict.causes(made) if not made.met else []
    made.save()
    shutil.copy(folder / "samples.csv.gz", made.file.with_suffix(".samples.csv.gz"))
    if wanted.scenario.repeats:
        shutil.copy(folder / "acknowledged", made.file.with_suffix(".acknowledged"))
    return made


def _add_server_times(made: Result) -> None:
    functions: Mapping[str, Any] = made.server.get("functions", {})
    names = {
        "bulk_send": "bulk_send", "template_render": "render_template",
        "recipient_query": "list_recipients", "status_update": "record_delivery_events",
        "send": "claim_batches",
    }  # fmt: skip
    for step in made.steps:
        for name, one in step.operations.items():
            known = functions.get(names.get(name, name))
            one.server_ms = known["ms"] if known else None


def _of_calls(samples: Samples, begin: float) -> dict[str, list[tuple[float, float | None]]]:
    """Calls a second and P99 of each operation, over time."""
    found: dict[str, list[tuple[float, float | None]]] = {}
    width = max(1.0, (samples.ended - begin) / 120)
    times: dict[str, dict[int, list[float]]] = {}
    for at, name, value in samples.latencies:
        times.setdefault(name, {}).setdefault(int((at - begin) / width), []).append(value)
    for name, each in times.items():
        for place in sorted(each):
            ordered = sorted(each[place])
            at = round(place * width, 1)
            found.setdefault(f"calls/s {name}", []).append((at, len(ordered) / width))
            found.setdefault(f"p99 ms {name}", []).append((at, result.percentile(ordered, 99)))
    return found


def _start(target: Target, wanted: Run, folder: Path) -> run.Child:
    samples = folder / "samples.csv.gz"
    command = [
        *wanted.prefix, "k6", "run", "--quiet", "--no-color", "--no-summary",
        "--out", f"csv={samples}", f"--console-output={folder / 'acknowledged'}",
    ]  # fmt: skip
    tools = os.pathsep.join([str(paths.TOOLS), os.environ.get("PATH", os.defpath)])
    return run.start(
        [*command, str(plan.SCRIPT)],
        env={
            **QUIET, **GARBAGE, "PATH": tools, "PLAN": str(folder / "plan.json"),
            "DATA": str(folder), "APP_DSN": target.app, "WORKER_DSN": target.worker,
        },
        install=INSTALL,
        output=folder / "k6.log",
    )  # fmt: skip


def _wait(
    child: run.Child, seconds: float, watching: watch.Watch, say: Say
) -> tuple[float | None, bool]:
    """Wait until k6 ends; returns how many cores it used, and whether Ctrl-C ended it."""
    began, interrupted, cores = time.monotonic(), False, None
    while True:
        try:
            if child.poll() is not None:
                return cores, interrupted
            passed = time.monotonic() - began
            cores = _cores(child.pid, passed) or cores
            if passed > seconds + STOP_SECONDS:
                child.kill()
            say(_progress(passed, seconds, watching.latest()))
            time.sleep(1)
        except KeyboardInterrupt:
            if interrupted:
                child.kill()
            interrupted = True
            say("Stopping; what was measured is kept (Ctrl-C again: at once) …")
            child.send_signal(signal.SIGINT)


def _progress(passed: float, seconds: float, latest: watch.Sample | None) -> str:
    text = f"{passed:.0f} of {seconds:.0f} s"
    if latest:
        pool = latest["pool"]
        text += (
            f" · {watch.clients(pool)} clients, {pool['cl_waiting']} wait, {pool['busiest']} of"
            f" {pool['size']} connections busy"
        )
    return text


def _cores(pid: int, seconds: float) -> float | None:
    """Cores that a process has used on average, by Linux's /proc; None where there is none."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None
    ticks = int(fields[11]) + int(fields[12])
    return round(ticks / os.sysconf("SC_CLK_TCK") / max(seconds, 0.1), 3)


def k6_version() -> str:
    """Which k6 there is. Raises `RefusedError` if there is none."""
    tools = os.pathsep.join([str(paths.TOOLS), os.environ.get("PATH", os.defpath)])
    said = run.capture(["k6", "version"], todo=INSTALL, install=INSTALL, env={"PATH": tools})
    return said.stdout.split()[1]
