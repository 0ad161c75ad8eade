"""The stanza: the place in the backup repository where this cluster's backups and WAL go."""

import logging
from datetime import UTC, datetime

from infra.agent import paths, pgbackrest
from infra.agent.errors import AgentError
from infra.agent.files import File, install
from infra.agent.pgbackrest import (
    STATUS_MISSING_DATA,
    STATUS_MISSING_PATH,
    STATUS_NO_BACKUP,
    STATUS_OK,
)

CREATE_TIMEOUT = 120.0
CHECK_TIMEOUT = 240.0  # it waits for a WAL segment to arrive in the repository

log = logging.getLogger(__name__)


def ensure(stanza: str, *, leads: bool) -> bool:
    """See to it once that the repository holds `stanza`, and return whether it is known to.

    The leader makes it and proves with `check` that a WAL segment arrives; another machine only
    looks, which proves that its own way to the repository works. Known is what lies in
    /var/lib/guestcomms/stanza-ready.

    Raises:
        AgentError: the repository does not answer, or holds another cluster's stanza.
    """
    if paths.STANZA_READY.exists():
        return True
    if leads:
        if pgbackrest.info(stanza).code in (STATUS_MISSING_PATH, STATUS_MISSING_DATA):
            pgbackrest.succeed("stanza-create", stanza, timeout=CREATE_TIMEOUT)
            log.info("created stanza %s", stanza)
        pgbackrest.succeed("check", stanza, timeout=CHECK_TIMEOUT)
    said = pgbackrest.info(stanza)
    if said.code not in (STATUS_OK, STATUS_NO_BACKUP):
        if leads or said.code != STATUS_MISSING_PATH:
            raise AgentError(f"stanza {stanza} is not ready: {said.message}")
        return False  # the leader has not made it yet
    found = f"{datetime.now(UTC).isoformat(timespec='seconds')}\n".encode()
    install(File(paths.STANZA_READY, found, "postgres", "postgres", 0o644))
    log.info("stanza %s is ready", stanza)
    return True
