"""The stanza: the place in the backup repository where this cluster's backups and WAL go."""

import logging
import time
from datetime import UTC, datetime

from infra.agent import paths, pgbackrest
from infra.agent.errors import AgentError
from infra.agent.files import File, install, remove
from infra.agent.pgbackrest import (
    STATUS_MISSING_DATA,
    STATUS_MISSING_PATH,
    STATUS_NO_BACKUP,
    STATUS_OK,
)

CREATE_TIMEOUT = 120.0
CHECK_TIMEOUT = 240.0  # it waits for a WAL segment to arrive in the repository

LOOK_AGAIN = 600.0  # seconds after which the leader does not believe its mark any more

log = logging.getLogger(__name__)


def ensure(stanza: str, *, leads: bool) -> bool:
    """See to it that the repository holds `stanza`, and return whether it is known to.

    The leader makes it and proves with `check` that a WAL segment arrives; another machine only
    looks, which proves that its own way to the repository works. Known is what lies in
    /var/lib/guestcomms/stanza-ready. The leader looks again every ten minutes: where somebody has
    emptied the repository, the mark goes and the stanza is made again.

    Raises:
        AgentError: the repository does not answer, or holds another cluster's stanza.
    """
    if _is_marked(leads=leads):
        return True
    if paths.STANZA_READY.exists() and _is_still_there(stanza):
        _mark()
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
    _mark()
    log.info("stanza %s is ready", stanza)
    return True


def _is_marked(*, leads: bool) -> bool:
    """Whether the mark is there and to be believed."""
    try:
        age = time.time() - paths.STANZA_READY.stat().st_mtime
    except FileNotFoundError:
        return False
    return not leads or 0 <= age < LOOK_AGAIN  # older than now: the clock was set back


def _is_still_there(stanza: str) -> bool:
    """Look at a stanza that was ready; where it is gone, the mark goes too."""
    said = pgbackrest.info(stanza)
    if said.code in (STATUS_OK, STATUS_NO_BACKUP):
        return True
    if said.code not in (STATUS_MISSING_PATH, STATUS_MISSING_DATA):
        raise AgentError(f"stanza {stanza} cannot be looked at: {said.message}")
    log.warning("stanza %s is gone from the repository: %s", stanza, said.message)
    remove(paths.STANZA_READY)
    return False


def _mark() -> None:
    now = f"{datetime.now(UTC).isoformat(timespec='seconds')}\n".encode()
    install(File(paths.STANZA_READY, now, "postgres", "postgres", 0o644))
