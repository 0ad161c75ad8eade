"""`guestcomms migrate …` as a pipeline calls it: JSON on stdout, an exit code, nothing else."""

from __future__ import annotations

import json
import subprocess
import sys
from typing import Any

from guestcomms import migrate, paths
from guestcomms.migrate import Project

from tests.db.server import Database


def guestcomms(database: Database, *arguments: str, login: str = "wedsync_migrator") -> Any:
    """Run the command; returns exit code, parsed stdout, stderr."""
    done = subprocess.run(
        [sys.executable, "-m", "guestcomms.cli", "migrate", *arguments, "--json"],
        capture_output=True,
        text=True,
        check=False,
        env={"GUESTCOMMS_DSN": database.dsn(login), "PATH": "/usr/bin:/bin", "HOME": "/tmp"},
    )
    return done.returncode, json.loads(done.stdout) if done.stdout else None, done.stderr


def test_from_empty_to_full_and_back(empty: Database) -> None:
    migrations = [migration.path for migration in Project(paths.ROOT).migrations()]
    code, status, _ = guestcomms(empty, "status")
    assert (code, status["applied"], len(status["pending"])) == (0, [], len(migrations))
    code, run, progress = guestcomms(empty, "apply")
    assert (code, run["migrations"]) == (0, migrations)
    assert "applying migrations/0001.ledger.sql" in progress
    code, run, _ = guestcomms(empty, "apply")
    assert (code, run["migrations"], run["repeatables"]) == (0, [], [])
    code, checked, _ = guestcomms(empty, "check")
    assert (code, checked["missing"], checked["problems"], checked["changed"]) == (0, [], [], [])
    losses = migrate.losses(empty.dsn(), migrate.rollback_plan(empty.dsn(), 1))
    code, run, plan = guestcomms(empty, "rollback", "--yes")
    assert (code, run["migrations"]) == (0, migrations[-1:])
    assert empty.name in plan
    assert [line for line in plan.splitlines() if "destroys" in line] == [
        f"    destroys {loss}" for loss in losses
    ]


def test_without_yes_nobody_is_asked_and_nothing_is_lost(database: Database) -> None:
    before = database.dump()
    code, _, error = guestcomms(database, "rollback")
    assert code == 5
    assert "--yes" in error
    assert database.dump() == before


def test_what_is_missing_is_exit_code_6_with_the_statement(database: Database) -> None:
    database.execute("DROP EXTENSION amcheck")
    code, checked, _ = guestcomms(database, "check")
    assert code == 6
    assert [one["remedy"] for one in checked["missing"]] == [
        "CREATE EXTENSION amcheck WITH SCHEMA extensions;"
    ]


def test_an_error_is_one_sentence(database: Database) -> None:
    code, _, error = guestcomms(database, "apply", login="wedsync_app")
    assert code == 5
    assert error.startswith("error: database ")
    assert "Traceback" not in error
    assert error.count("\n") == 1
