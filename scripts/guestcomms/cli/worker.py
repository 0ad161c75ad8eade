"""`guestcomms worker`: send what is queued."""

from __future__ import annotations

import os
import secrets
import socket
import sys
from pathlib import Path
from typing import Annotated

import typer

from guestcomms import db, run
from guestcomms.cli.common import JsonOption, console, load_stack, print_json, settings, table
from guestcomms.errors import UsageError
from guestcomms.worker.loop import Settings, Worker
from guestcomms.worker.metrics import Metrics
from guestcomms.worker.providers import EXAMPLES, SMTP_PASSWORD, WEBHOOK_TOKEN, routes
from guestcomms.worker.queue import Queue, ScalingRequests, not_set_up
from guestcomms.worker.stop import Stop
from guestcomms.worker.supervisor import Supervisor

app = typer.Typer(no_args_is_help=True, help="Workers send what is queued.")
_DEFAULT = Settings()


@app.command("run")
def run_worker(
    context: typer.Context,
    provider: Annotated[
        list[str],
        typer.Option(
            "--provider",
            metavar="[CHANNEL=]URL",
            help=f"Where messages go, once for each: {EXAMPLES}. Secrets come through"
            f" {SMTP_PASSWORD} and {WEBHOOK_TOKEN}.",
        ),
    ],
    channel: Annotated[
        list[str] | None,
        typer.Option(
            "--channel",
            metavar="CHANNEL",
            help="Claim messages of this channel only, once for each: email, sms, push, in_app."
            " Without it: all that the providers carry.",
        ),
    ] = None,
    dsn: Annotated[
        str | None,
        typer.Option(
            "--dsn",
            envvar="GUESTCOMMS_DSN",
            metavar="URL",
            help="Any database, instead of a stack's; its login is one for workers.",
        ),
    ] = None,
    processes: Annotated[
        int | None,
        typer.Option(
            min=0,
            metavar="N",
            help="Supervise so many worker processes, instead of being the only one: those that"
            " die are started again, and scale_workers messages in the queue are obeyed.",
        ),
    ] = None,
    max_processes: Annotated[
        int, typer.Option(min=1, metavar="N", help="No scale_workers message makes it more.")
    ] = 32,
    messages: Annotated[
        int,
        typer.Option(
            "--slice",
            min=1,
            max=1000,
            metavar="N",
            help="Claim so many messages at once: as many at most become unknown when a worker"
            " is killed.",
        ),
    ] = _DEFAULT.slice,
    lease: Annotated[
        float,
        typer.Option(
            min=3,
            max=3600,
            metavar="SECONDS",
            help="So long a claim holds without news of the worker; it is extended in time.",
        ),
    ] = _DEFAULT.lease_seconds,
    poll: Annotated[
        float,
        typer.Option(min=0.05, metavar="SECONDS", help="Ask so often when nothing is due."),
    ] = _DEFAULT.poll_seconds,
    once: Annotated[bool, typer.Option("--once", help="Stop when nothing is due.")] = False,
    metrics_file: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE.prom",
            help="Write metrics there for node_exporter's textfile collector; supervised"
            " processes write FILE-1.prom and so on beside it.",
        ),
    ] = None,
    slot: Annotated[int, typer.Option(hidden=True, help="Number under a supervisor.")] = 0,
    parent: Annotated[
        int | None, typer.Option(hidden=True, help="Process of the supervisor.")
    ] = None,
    json: JsonOption = False,
) -> None:
    """Claim messages, render them, hand them to providers and report, until told to stop.

    The first SIGTERM or Ctrl-C lets it finish the message in hand and report; the second one ends
    it at once: what it had in hand becomes unknown, which is never sent again by itself.

    Example: guestcomms worker run --provider smtp://me@mail.example --processes 4
    """
    if metrics_file is not None and metrics_file.suffix != ".prom":
        raise UsageError(f"--metrics-file {metrics_file} is read by nobody; let it end in .prom.")
    providers = routes(provider, only=channel or ())
    target = dsn or load_stack(context).dsn("worker")
    stop = Stop(parent)
    stop.listen()
    name = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(3)}"
    if processes is None:
        session = db.Session(target, application_name=f"guestcomms worker {slot or ''}".strip())
        worker = Worker(
            Queue(session, name),
            providers,
            Settings(messages, lease, poll, once),
            Metrics(metrics_file, str(slot)),
            stop,
        )
        _print(_work(worker, session), json, quiet=parent is not None)
        return
    arguments = [
        *(word for one in provider for word in ("--provider", one)),
        *(word for one in channel or () for word in ("--channel", one)),
        *("--slice", str(messages), "--lease", str(lease), "--poll", str(poll)),
        *(["--once"] if once else []),
        *("--parent", str(os.getpid())),
    ]
    session = db.Session(target, application_name="guestcomms worker supervisor")
    supervisor = Supervisor(
        lambda number: run.start(
            [
                *(sys.executable, "-m", "guestcomms.cli", "--stack", settings(context).stack),
                *("worker", "run", "--slot", str(number), *arguments),
                *_metrics_arguments(metrics_file, number),
            ],
            env={"GUESTCOMMS_DSN": target},
        ),
        ScalingRequests(session, name),
        stop,
        Metrics(metrics_file, "supervisor"),
        processes=min(processes, max_processes),
        maximum=max_processes,
        once=once,
    )
    code = supervisor.run()
    session.close()
    if json:
        print_json({"restarts": supervisor.restarts, "exit_code": code})
    raise typer.Exit(code)


def _work(worker: Worker, session: db.Session) -> dict[str, int]:
    """Run a worker; what the database refuses becomes a sentence."""
    try:
        session.rows("SELECT 1")  # a wrong address is told now, not waited for
        return worker.run()
    except db.DatabaseError as error:
        raise not_set_up(error) from error
    finally:
        session.close()


def _print(totals: dict[str, int], as_json: bool, *, quiet: bool) -> None:
    if as_json:
        print_json(totals)
    elif not quiet:
        console.print(table("Attempts", ("outcome", "messages"), sorted(totals.items())))


def _metrics_arguments(file: Path | None, number: int) -> list[str]:
    if file is None:
        return []
    return ["--metrics-file", str(file.with_name(f"{file.stem}-{number}.prom"))]
