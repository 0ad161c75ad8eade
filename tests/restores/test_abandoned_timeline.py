"""A standby took over, and the old leader still wrote and archived for a while: nobody's history.

On one PostgreSQL with a real repository: the copy that is promoted stands for the standby. Drills
on the cluster go across a failover of Patroni's (test_1_targets.py), where the old leader is dead.
"""

from __future__ import annotations

import time

import pytest

from tests.db.agent import ENVIRONMENT, REPOSITORY, agent, pgbackrest
from tests.db.server import Database
from tests.db.test_agent_drills import (  # noqa: F401 - the last two are fixtures
    COPIES,
    DRILL,
    live,
    names_in_copy,
    running,
    server,
)
from tests.waiting import wait_until

SECOND = "/var/lib/postgresql/second"
PATIENCE = 120.0
MADE = "SELECT FROM create_organization(gen_random_uuid(), '{}')"
POINT = (
    "SET ROLE comms_owner; INSERT INTO communication_recovery_points"
    " (recovery_point_id, recovery_type) VALUES ('{}', 'point_in_time')"
)
REQUEST = "SET ROLE comms_ops; SELECT drill_id FROM request_restore_drill('{}', '{}', true, true)"


def await_archive(database: Database) -> None:
    """Wait until the repository has the log up to now."""
    segment = str(database.value("SELECT pg_walfile_name(pg_switch_wal())"))
    listed = f"find {REPOSITORY} -name '{segment}-*'"
    wait_until(lambda: database.server.run("sh", "-c", listed) != "", PATIENCE)


def test_drills_follow_the_timeline_that_was_taken(live: Database) -> None:  # noqa: F811
    """What was before, what is behind, and nothing of what the old leader still wrote."""
    server, name = live.server, live.name  # noqa: F811
    unique = f"{time.time_ns()}"
    live.execute(MADE.format(f"before {unique}"))
    live.execute(POINT.format(f"before_{unique}"))
    switch = str(live.value("SELECT pg_current_wal_lsn()"))
    await_archive(live)
    pgbackrest(
        server, "restore", f"--pg1-path={SECOND}", "--type=lsn", f"--target={switch}",
        "--target-action=promote",
    )  # fmt: skip
    live.execute(MADE.format(f"abandoned {unique}"))
    live.execute(POINT.format(f"abandoned_{unique}"))
    await_archive(live)
    push = " ".join(["env", *ENVIRONMENT, f"PGBACKREST_PG1_PATH={SECOND}", "pgbackrest"])
    own = (
        "archive_mode=on",
        "archive_timeout=1s",
        f"archive_command={push} archive-push %p",
    )
    leads = DRILL.replace("host=/run/postgresql ", "host=/run/postgresql port=5433 ")
    with running(server, SECOND, *own) as psql:
        wait_until(lambda: psql(name, "SELECT pg_is_in_recovery()") == "f", PATIENCE)
        assert psql(name, "SELECT pg_walfile_name(pg_current_wal_lsn())")[:8] == "00000002"
        psql(name, MADE.format(f"behind {unique}"))
        psql(name, POINT.format(f"behind_{unique}"))
        now = psql(name, "SELECT clock_timestamp()")
        psql(name, MADE.format(f"last {unique}"))
        with pytest.raises(AssertionError, match="there is no recovery point"):
            psql(name, REQUEST.format("name", f"abandoned_{unique}"))
        wanted = {
            ("name", f"before_{unique}"): {"before"},
            ("name", f"behind_{unique}"): {"before", "behind"},
            ("time", now): {"before", "behind"},
        }
        for (kind, target), expected in wanted.items():
            drill_id = psql(name, REQUEST.format(kind, target))
            agent(server, leads.format(name))
            query = "SELECT verdict, error, findings FROM communication_restore_drills"
            verdict = psql(name, f"{query} WHERE drill_id = '{drill_id}'")
            assert verdict.startswith("proven|"), verdict
            held = names_in_copy(live, drill_id)
            there = {one for one in ("before", "abandoned", "behind", "last")
                     if f"{one} {unique}" in held}  # fmt: skip
            assert there == expected, (kind, target)
            psql(name, f"SET ROLE comms_ops; SELECT release_restore('{drill_id}')")
    server.run("rm", "-r", SECOND, COPIES)
