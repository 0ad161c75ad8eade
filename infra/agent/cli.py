"""The agent's verbs."""

import argparse
import json
import logging
import signal
import sys
import threading
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import psycopg

from infra.agent import (
    alerts,
    bootstrap,
    certificates,
    checks,
    cluster_restore,
    facts,
    forget,
    handover,
    health,
    initialize,
    old_data,
    paths,
    prepare,
    restore_document,
    restore_plan,
    serve,
    sessions,
    settings,
)
from infra.agent.errors import AgentError

PRIORITIES = {
    logging.DEBUG: 7,
    logging.INFO: 6,
    logging.WARNING: 4,
    logging.ERROR: 3,
    logging.CRITICAL: 2,
}


class _JournalFormatter(logging.Formatter):
    """One line per event; systemd reads its priority from the number in front."""

    def format(self, record: logging.LogRecord) -> str:
        where = record.name.rpartition(".")[2]
        said = " ".join(super().format(record).split())
        return f"<{PRIORITIES.get(record.levelno, 6)}>{where}: {said}"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one verb and return its exit status: 0 done (and healthy), 1 not."""
    options = _parser().parse_args(arguments)
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(_JournalFormatter())
    logging.basicConfig(level=logging.INFO, handlers=[handler])
    verb: Callable[[argparse.Namespace], int] = options.run
    try:
        return verb(options)
    except (AgentError, psycopg.Error) as error:
        failure = str(error)
    logging.getLogger("agent").error("%s", failure)
    return 1


def _prepare(_options: argparse.Namespace) -> int:
    prepare.prepare(facts.machine(), facts.place())
    return 0


def _initialize(options: argparse.Namespace) -> int:
    initialize.initialize(facts.machine(), options.scope, options.datadir)
    return 0


def _bootstrap(options: argparse.Namespace) -> int:
    if options.once:
        changed = bootstrap.apply(options.dsn, *bootstrap.wanted(options.sql, options.logins))
        sys.stdout.write("applied\n" if changed else "already applied\n")
        return 0
    bootstrap.watch(facts.machine(), _stop_on_signal())
    return 0


def _serve(_options: argparse.Namespace) -> int:
    serve.serve(facts.machine(), _stop_on_signal())
    return 0


def _health(_options: argparse.Namespace) -> int:
    report = health.report(facts.machine())
    _print(report)
    return 0 if report["healthy"] else 1


def _certificates(_options: argparse.Namespace) -> int:
    report = certificates.report(facts.machine())
    _print(report)
    return 1 if report["stale"] or report["silent"] else 0


def _sessions(_options: argparse.Namespace) -> int:
    _print(sessions.report(facts.machine()))
    return 0


def _forget(options: argparse.Namespace) -> int:
    name = checks.text(options.leaving, "MACHINE", checks.MACHINE_NAME)
    _print(forget.forget(facts.machine(), name))
    return 0


def _handover(options: argparse.Namespace) -> int:
    _print(handover.handover(facts.machine(), to_any=options.any))
    return 0


def _settings(options: argparse.Namespace) -> int:
    machine = facts.machine()
    if options.apply:
        _print(settings.apply(machine, facts.place().settings))
    else:
        _print(settings.read(machine))
    return 0


def _restored(_options: argparse.Namespace) -> int:
    cluster_restore.freeze(facts.machine())
    return 0


def _restore_cluster(options: argparse.Namespace) -> int:
    machine = facts.machine()

    def name() -> str:
        return checks.text(options.id, "--id", checks.RESTORE_ID)

    def told() -> Mapping[str, object]:
        try:
            return checks.mapping(json.load(sys.stdin), "standard input")
        except ValueError as error:
            raise AgentError(f"standard input is not JSON: {error}") from error

    actions: dict[str, Callable[[], Mapping[str, object]]] = {
        "plan": lambda: restore_plan.plan(
            machine, restore_plan.Wish.parse(told()), restore_plan.data_directory()
        ),
        "room": lambda: restore_plan.room(restore_plan.data_directory()),
        "record": lambda: cluster_restore.record(machine),
        "write": lambda: cluster_restore.write_record(machine, told()),
        "position": old_data.position,
        "stop": lambda: cluster_restore.stop(machine),
        "start": lambda: cluster_restore.start(machine),
        "settle": lambda: old_data.settle(name()),
        "aside": lambda: old_data.aside(machine, name()),
        "back": lambda: old_data.back(name()),
        "discard": lambda: old_data.discard(name()),
        "fork": lambda: old_data.fork(machine, name()),
        "export": lambda: old_data.export(machine, name(), told()),
        "order": lambda: cluster_restore.order(told()),
        "forget": lambda: cluster_restore.forget(machine),
        "reached": lambda: cluster_restore.reached(machine),
        "tell": lambda: cluster_restore.tell(machine, name(), told()),
        "clean": lambda: old_data.clean(name()),
        "document": lambda: restore_document.write(machine, name(), told()),
    }
    act = actions[options.action]
    if options.action not in cluster_restore.CHANGES:
        _print(act())
        return 0
    holder = checks.text(options.holder, "--holder", checks.HOLDER)
    with cluster_restore.alone(machine, name(), holder) as free:
        _print(act() if free else {"busy": True})
    return 0


def _alerts(options: argparse.Namespace) -> int:
    alerts.serve(options.port, paths.ALERTS, _stop_on_signal())
    return 0


def _print(report: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(report, indent=1) + "\n")


def _stop_on_signal() -> threading.Event:
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    return stop


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="agent.pyz", description="What runs on a machine beyond packages."
    )
    verbs = parser.add_subparsers(required=True, metavar="VERB")

    def verb(
        name: str, run: Callable[[argparse.Namespace], int], summary: str
    ) -> argparse.ArgumentParser:
        added = verbs.add_parser(name, help=summary, description=summary)
        added.set_defaults(run=run)
        return added

    verb(
        "prepare", _prepare, "write what the place delivered to where the servers read it (as root)"
    )
    made = verb(
        "initialize", _initialize, "make the first data directory, or refuse (called by Patroni)"
    )
    made.add_argument("--scope", required=True, help="Patroni's name of the cluster")
    made.add_argument("--datadir", required=True, type=Path, help="where the cluster is to lie")
    applied = verb(
        "bootstrap", _bootstrap, "apply what needs a superuser whenever this machine leads"
    )
    applied.add_argument("--once", action="store_true", help="apply it to --dsn and end")
    applied.add_argument(
        "--dsn", default="", help="with --once: a superuser's connection string, no password"
    )
    applied.add_argument(
        "--sql", type=Path, default=paths.BOOTSTRAP_SQL, help="with --once: the SQL file"
    )
    applied.add_argument(
        "--logins", type=Path, default=paths.LOGINS, help="with --once: the login roles"
    )
    verb("serve", _serve, "do this machine's standing duties: backups and pools, or restores")
    verb("health", _health, "print the cluster's health as JSON; exit 0 only if it is healthy")
    verb(
        "certificates",
        _certificates,
        "print until when certificates are good; exit 0 only if every port shows the present one",
    )
    left = verb("forget", _forget, "take a machine that leaves the cluster out of etcd's members")
    left.add_argument("leaving", metavar="MACHINE", help="the one that leaves, such as pg-5")
    verb("sessions", _sessions, "print how many connections each login has here (as postgres)")
    served = verb("alerts", _alerts, "write down every message of Alertmanager (on the monitor)")
    served.add_argument(
        "--port", required=True, type=int, help="where it comes in, on the loopback"
    )
    handed = verb(
        "handover", _handover, "let another machine lead, if this one does, and print who leads"
    )
    handed.add_argument(
        "--any",
        action="store_true",
        help="let Patroni choose which, 2 s faster; else as suits a roll from first to last",
    )
    froze = verb("restored", _restored, "freeze sending where it was restored (called by Patroni)")
    froze.add_argument("dsn", nargs="?", help="what Patroni says; the local socket is used")
    stepped = verb(
        "restore-cluster",
        _restore_cluster,
        "do one step of a restore of the cluster (`guestcomms restore cluster` leads through them)",
    )
    stepped.add_argument(
        "action",
        choices=(
            "plan", "room", "record", "write", "position", "stop", "start", "settle", "aside",
            "back", "discard", "fork", "export", "order", "forget", "reached", "tell", "clean",
            "document",
        ),
        help="plan, write, export, order, tell and document read JSON from standard input; stop and"
        " start want root",
    )  # fmt: skip
    stepped.add_argument("--id", default="", help="the restore, as its record names it")
    stepped.add_argument("--holder", default="", help="who leads it, as its record names them")
    applied = verb("settings", _settings, "print Patroni's dynamic configuration as JSON")
    applied.add_argument(
        "--apply",
        action="store_true",
        help="make it what the place delivered, and restart what waits for it, standbys first",
    )
    return parser
