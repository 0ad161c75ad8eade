"""What servers that run already do when `prepare` has changed a file that they read only once.

At boot none of them is active yet, and nothing happens here. Later, those that are active read
changed certificates, store identities and PgBouncer's list of users anew: patroni (and through it
PostgreSQL) and pgbouncer on a database machine, haproxy on the proxy and in front of the store,
prometheus and prometheus-alertmanager on the monitor; seaweedfs on the store is restarted. etcd
reads its certificates at every connection; the repository's keys, the logins and the key-encryption
key are read when they are used.
"""

import logging
from collections.abc import Mapping
from pathlib import Path

from infra.agent import paths
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
    )
)
_RELOAD, _RESTART = "try-reload-or-restart", "try-restart"
READERS: Mapping[str, Mapping[str, str]] = {
    "database": {"patroni.service": _RELOAD, "pgbouncer.service": _RELOAD},
    "proxy": {"haproxy.service": _RELOAD},
    "store": {"seaweedfs.service": _RESTART, "haproxy.service": _RELOAD},
    "monitor": {"prometheus.service": _RELOAD, "prometheus-alertmanager.service": _RELOAD},
}

log = logging.getLogger(__name__)


def note(changed: Path) -> None:
    """Remember that a reload is due if servers read the `changed` file only once."""
    if changed in READ_ONCE:
        # A file, so that a reload that failed, or was never reached, is due again the next time.
        paths.RELOAD_DUE.touch()


def if_due(role: str) -> None:
    """Reload the servers of a machine with this `role` if one of their files has changed.

    Raises:
        AgentError: names the unit that did not; running `prepare` again tries again.
    """
    if paths.RELOAD_DUE.exists():
        _reload(role)
        paths.RELOAD_DUE.unlink()


def _reload(role: str) -> None:
    for unit, verb in READERS.get(role, {}).items():
        if run(["systemctl", "is-active", "--quiet", unit], timeout=TIMEOUT).status != 0:
            continue
        outcome = run(["systemctl", verb, unit], timeout=TIMEOUT)
        if outcome.status != 0:
            raise AgentError(
                f"{unit} did not read its changed files: {outcome.complaint()};"
                f" see `journalctl -u {unit}` and run `agent.pyz prepare` again"
            )
        log.info("%s: %s", unit, verb)
