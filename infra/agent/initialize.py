"""`initialize`: Patroni's custom bootstrap command. Makes the first data directory, or refuses.

Patroni calls it on the one machine that may make a new cluster. A backup store that already holds
the stanza means that this cluster existed before: making a new one over it would mix two histories,
so the stack's `guestcomms:bootstrap` must say which is meant (`new` or `restore`). Nothing is ever
guessed: a store that does not answer is a refusal as well.
"""

import logging
import time
from pathlib import Path

from infra.agent import checks, cluster_restore, paths, pgbackrest
from infra.agent.copies import Target
from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.files import File, install, remove
from infra.agent.pgbackrest import Holding, Stanza
from infra.agent.run import run

STORE_PATIENCE = 300.0  # seconds: the store may boot beside us
STORE_PAUSE = 5.0
INITDB_TIMEOUT = 300.0
RESTORE_TIMEOUT = 7 * 24 * 3600.0  # a large database takes its time; Patroni cancels us if it must

log = logging.getLogger(__name__)


def initialize(machine: Machine, scope: str, data_directory: Path) -> None:
    """Fill `data_directory` with a new cluster, or with a backup and archived WAL.

    A restore that was ordered (`guestcomms restore cluster`) goes to its target; otherwise the
    stack's configuration says whether the cluster is new or the newest backup with all its WAL.

    Args:
        machine: says whether the cluster is to be new or restored.
        scope: Patroni's cluster name, which must be this machine's.
        data_directory: where Patroni wants the cluster.

    Raises:
        AgentError: refused or failed; the reason also lies in /var/lib/guestcomms/refused for
        `health`.
    """
    try:
        checks.one_of(scope, "--scope", (machine.scope,))
        checks.text(str(data_directory), "--datadir", checks.PATH)
        order = cluster_restore.ordered()
        if order is None:
            _make(machine, data_directory)
        else:
            _restore_to(machine.stanza, data_directory, *order)
    except AgentError as error:
        install(File(paths.REFUSED, f"{error}\n".encode(), "postgres", "postgres", 0o644))
        raise
    remove(paths.REFUSED)


def _make(machine: Machine, data_directory: Path) -> None:
    held, stanza = _look(machine.stanza)
    check_wanted(machine, held, stanza)
    if machine.bootstrap == "new":
        _initdb(data_directory)
    else:
        _restore(machine.stanza, data_directory)


def check_wanted(machine: Machine, held: Holding, stanza: Stanza) -> None:
    """Let pass what fits: a new cluster where the store holds nothing, a restore where it can be.

    Raises:
        AgentError: says what the store holds and what to set instead.
    """
    if machine.bootstrap == "new" and held is not Holding.NOTHING:
        raise AgentError(
            f"{_there(machine, held, stanza)}. A new cluster is not made over it. Set"
            " guestcomms:bootstrap to `restore` to bring that cluster back, or empty the repository"
            " or choose another one."
        )
    if machine.bootstrap == "restore" and held is Holding.NOTHING:
        raise AgentError(
            "guestcomms:bootstrap is `restore`, but the backup repository holds no stanza"
            f" {machine.stanza}. Check that the stack names the right repository, or set"
            " guestcomms:bootstrap to `new`."
        )
    if machine.bootstrap == "restore" and held is Holding.UNREADABLE:
        raise AgentError(
            f"{_there(machine, held, stanza)}: these backups were encrypted with another cipher"
            " passphrase than this stack has, and nobody can read them without it, also not you."
            " Bring it from escrow into a new stack (guestcomms secrets import), see"
            " docs/how-to/recover-lost-keys.md."
        )
    if machine.bootstrap == "restore" and not stanza.backups:
        raise AgentError(
            f"{_there(machine, held, stanza)}. Nothing can be restored: check the repository's"
            " cipher passphrase and its contents."
        )


def _there(machine: Machine, held: Holding, stanza: Stanza) -> str:
    there = f"The backup repository already holds stanza {machine.stanza}"
    if stanza.backups:
        newest = stanza.backups[-1]
        when = f"{newest.completed_at:%Y-%m-%d %H:%M} UTC"
        return f"{there}: {len(stanza.backups)} backups, newest {newest.label} of {when}"
    if held is Holding.UNREADABLE:
        return f"{there}, but it cannot be read ({stanza.message})"
    return f"{there}, without a finished backup"


def _look(stanza: str) -> tuple[Holding, Stanza]:
    """Look into the store until it answers, for a bounded time."""
    give_up = time.monotonic() + STORE_PATIENCE
    while True:
        try:
            return pgbackrest.holding(stanza)
        except AgentError as error:
            if time.monotonic() > give_up:
                raise AgentError(
                    f"{error}. No cluster is made while it is unknown what the repository holds:"
                    " see that the store runs and is reachable; Patroni then tries again."
                ) from error
            log.warning("%s; looking again in %g s", error, STORE_PAUSE)
            time.sleep(STORE_PAUSE)


def _initdb(data_directory: Path) -> None:
    log.info("making a new cluster in %s", data_directory)
    outcome = run(
        [
            str(paths.POSTGRESQL_PROGRAMS / "initdb"),
            f"--pgdata={data_directory}",
            "--username=postgres",
            "--encoding=UTF8",
            # The builtin provider sorts alike on every machine, whatever its C library.
            "--locale=C.UTF-8",
            "--locale-provider=builtin",
            "--builtin-locale=C.UTF-8",
            "--data-checksums",
            "--auth-host=scram-sha-256",
            "--auth-local=peer",
        ],
        timeout=INITDB_TIMEOUT,
    )
    if outcome.status != 0:
        raise AgentError(f"initdb failed: {outcome.complaint()}")


def _restore(stanza: str, data_directory: Path) -> None:
    log.info("restoring stanza %s into %s, to the end of its archive", stanza, data_directory)
    # Type `default` replays all archived WAL; PostgreSQL then promotes itself to a new timeline.
    options = (f"--pg1-path={data_directory}", "--type=default")
    pgbackrest.succeed("restore", stanza, *options, timeout=RESTORE_TIMEOUT)


def _restore_to(stanza: str, data_directory: Path, label: str, target: Target) -> None:
    log.info("restoring %s into %s, to %s %s", label, data_directory, target.kind, target.value)
    options = (
        f"--pg1-path={data_directory}",
        f"--set={label}",
        *target.options(),
        "--target-action=promote",
    )
    pgbackrest.succeed("restore", stanza, *options, timeout=RESTORE_TIMEOUT)
