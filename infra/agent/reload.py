"""What servers that run already do when `prepare` has changed a file that they read only once.

At boot none of them is active yet, and nothing happens here. Later, those that are active read
changed certificates, store identities, PgBouncer's list of users and the monitor's configuration
anew: patroni (and through it PostgreSQL) and pgbouncer on a database machine, prometheus and
prometheus-alertmanager on the monitor; seaweedfs on the store is restarted. etcd reads its
certificates at every connection, but the authorities that it trusts only when it starts: then it is
restarted, and the gate that machines pass waits until it is healthy before the next one changes.
The exporters, the repository's keys, the logins and the key-encryption key are read when they are
used.

HAProxy on the proxy takes new certificates and servers through its socket. A reload would leave its
old process with every open connection and no health checks: a failover would not end those.
"""

import logging
from collections.abc import Collection, Mapping
from pathlib import Path

from infra.agent import haproxy, paths
from infra.agent.errors import AgentError
from infra.agent.run import run

TIMEOUT = 60.0  # seconds for one unit

READ_ONCE = frozenset(
    (
        paths.CA_CERTIFICATE,
        paths.CERTIFICATE,
        paths.PRIVATE_KEY,
        paths.CERTIFICATE_AND_KEY,
        paths.STORE_IDENTITIES,
        paths.POOLER_USERS,
        paths.PROMETHEUS,
        paths.ALERTMANAGER,
        paths.PATRONI_SETTINGS,
        paths.PROXY,
    )
)
_RELOAD, _RESTART = "try-reload-or-restart", "try-restart"
READERS: Mapping[str, Mapping[str, str]] = {
    "database": {"patroni.service": _RELOAD, "pgbouncer.service": _RELOAD},
    "store": {"seaweedfs.service": _RESTART},
    "monitor": {"prometheus.service": _RELOAD, "prometheus-alertmanager.service": _RELOAD},
}

log = logging.getLogger(__name__)


def note(changed: Path) -> None:
    """Remember that a reload is due if servers read the `changed` file only once."""
    if changed in READ_ONCE:
        # A file, so that a reload that failed, or was never reached, is due again the next time.
        with paths.RELOAD_DUE.open("a", encoding="utf-8") as due:
            due.write(f"{changed}\n")


def if_due(role: str) -> None:
    """Reload the servers of a machine with this `role` if one of their files has changed.

    Raises:
        AgentError: names the unit that did not; running `prepare` again tries again.
    """
    if paths.RELOAD_DUE.exists():
        changed = {Path(line) for line in paths.RELOAD_DUE.read_text("utf-8").splitlines()}
        for unit, verb in readers(role, changed).items():
            _reload(unit, verb)
        if role == "proxy" and _is_active("haproxy.service"):
            haproxy.renew_certificates()
            haproxy.renew_servers()
        paths.RELOAD_DUE.unlink()


def readers(role: str, changed: Collection[Path]) -> Mapping[str, str]:
    """Return the units of a machine with this `role` that read a `changed` file, and how."""
    units = dict(READERS.get(role, {}))
    if role == "database" and paths.CA_CERTIFICATE in changed:
        units = {"etcd.service": _RESTART, **units}
    return units


def _is_active(unit: str) -> bool:
    return run(["systemctl", "is-active", "--quiet", unit], timeout=TIMEOUT).status == 0


def _reload(unit: str, verb: str) -> None:
    if not _is_active(unit):
        return
    outcome = run(["systemctl", verb, unit], timeout=TIMEOUT)
    if outcome.status != 0:
        raise AgentError(
            f"{unit} did not read its changed files: {outcome.complaint()};"
            f" see `journalctl -u {unit}` and run `agent.pyz prepare` again"
        )
    log.info("%s: %s", unit, verb)
