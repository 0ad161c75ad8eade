"""functions/jobs: what pg_cron has of ours is what the files say."""

from __future__ import annotations

import pytest
from guestcomms import db, migrate
from guestcomms.errors import RefusedError
from guestcomms.migrate import Project

from tests.db.server import Database
from tests.db.test_migrate_cli import guestcomms

PATH = "functions/jobs/maintain-partitions.sql"
OURS = ("0 4 * * *", "SELECT 'it''s $1'", True, "guestcomms_cron")


def write(tree: Project, name: str = "tidy", schedule: str = "0 4 * * *") -> str:
    path = f"functions/jobs/{name}.sql"
    text = f"-- Why.\nSELECT cron.schedule('tidy', '{schedule}', $$SELECT 'it''s $1'$$);\n"
    (tree.root / path).write_text(text)
    return path


def jobs(database: Database) -> dict[str, tuple[object, ...]]:
    with database.connect() as connection:
        rows = db.rows(connection, "SELECT * FROM cron.job")
    return {
        row["jobname"]: (row["schedule"], row["command"], row["active"], row["username"])
        for row in rows
    }


def test_a_file_is_a_job(database: Database, tree: Project) -> None:
    path = write(tree)
    assert migrate.apply(database.dsn(), tree).repeatables == (path,)
    assert jobs(database)["tidy"] == OURS
    assert migrate.apply(database.dsn(), tree).repeatables == ()
    write(tree, schedule="0 5 * * *")
    assert migrate.apply(database.dsn(), tree).repeatables == (path,)
    assert jobs(database)["tidy"] == ("0 5 * * *", *OURS[1:])


@pytest.mark.parametrize(
    "by_hand",
    [
        "UPDATE cron.job SET schedule = '* * * * *' WHERE jobname = 'tidy'",
        "UPDATE cron.job SET active = false WHERE jobname = 'tidy'",
        "DELETE FROM cron.job WHERE jobname = 'tidy'",
    ],
)
def test_what_somebody_changed_by_hand_is_put_right(
    database: Database, tree: Project, by_hand: str
) -> None:
    path = write(tree)
    migrate.apply(database.dsn(), tree)
    database.execute(by_hand)
    assert [(one.file.path, one.reason) for one in migrate.plan(database.dsn(), tree).changes] == [
        (path, "drifted")
    ]
    migrate.apply(database.dsn(), tree)
    assert jobs(database)["tidy"] == OURS


def test_a_deleted_file_is_a_job_no_more(database: Database, tree: Project) -> None:
    path = write(tree)
    migrate.apply(database.dsn(), tree)
    (tree.root / path).unlink()
    migrate.apply(database.dsn(), tree)
    assert "tidy" not in jobs(database)
    assert {"backup-full", "backup-incremental"} <= jobs(database).keys()  # the bootstrap's


def test_an_error_leaves_everything_as_it_was(database: Database, tree: Project) -> None:
    before = jobs(database)
    path = write(tree, schedule="99 * * * *")
    (tree.root / PATH).unlink()
    with pytest.raises(RefusedError, match=f"{path}.*: invalid schedule: 99"):
        migrate.apply(database.dsn(), tree)
    assert jobs(database) == before


@pytest.mark.parametrize(
    "text",
    [
        "SELECT cron.schedule('other', '0 4 * * *', $$SELECT 1$$);",
        "SELECT cron.schedule('tidy', '0 4 * * *', $$SELECT 1$$); SELECT 2;",
        "SELECT cron.schedule('tidy', '0 4 * * *', $$SELECT 1$$); SELECT $$ $$);",
        "SELECT 1;",
        "",
    ],
)
def test_a_file_says_one_thing(database: Database, tree: Project, text: str) -> None:
    (tree.root / "functions/jobs/tidy.sql").write_text(text)
    with pytest.raises(RefusedError, match=r"tidy\.sql must be one statement and nothing else"):
        migrate.plan(database.dsn(), tree)


def test_without_pg_cron_jobs_are_skipped_by_name(empty: Database) -> None:
    empty.execute("DROP EXTENSION pg_cron")
    code, run, _ = guestcomms(empty, "apply")
    assert code == 0
    assert PATH in run["skipped"]
    assert PATH not in run["repeatables"]
    code, checked, _ = guestcomms(empty, "check")
    assert (code, checked["skipped"], checked["changed"]) == (6, run["skipped"], [])
    assert [one["name"] for one in checked["missing"]] == ["pg_cron"]
    assert guestcomms(empty, "apply")[1]["repeatables"] == []
