"""`guestcomms migrate apply` on a real server: once, twice, eight at once, in the way, killed."""

from __future__ import annotations

import signal
import subprocess
import sys
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor

import pytest
from guestcomms import db, migrate
from guestcomms.errors import BusyError, RefusedError, UnreachableError
from guestcomms.migrate import Patience, Project
from guestcomms.migrate.harness import write_sums

from tests.db.server import Database
from tests.waiting import wait_until

HURRY = Patience(lock_timeout=0.5, attempts=2, pause=0.1, other_run=30)


def add_migration(tree: Project, name: str, text: str, rollback: str = "") -> str:
    """Add a finished migration to a tree; returns its path."""
    forward, backward = migrate.new(name, tree)
    forward.write_text(text)
    backward.write_text(rollback)
    write_sums((), tree)
    return f"migrations/{forward.name}"


def test_from_empty_to_full_and_again(
    empty: Database, record_property: Callable[[str, object], None]
) -> None:
    first = migrate.apply(empty.dsn())
    second = migrate.apply(empty.dsn())
    record_property("seconds_first", round(first.seconds, 2))
    record_property("seconds_second", round(second.seconds, 2))
    assert first.migrations[0] == "migrations/0001.ledger.sql"
    assert "functions/public/enter_tenant.sql" in first.repeatables
    assert (second.migrations, second.repeatables) == ((), ())


def test_a_second_run_writes_nothing_and_takes_no_exclusive_lock(database: Database) -> None:
    read_only = database.dsn() + "?options=-c%20default_transaction_read_only%3Don"
    with database.connect() as other:
        tables = other.execute(
            "SELECT string_agg(format('%I.%I', schemaname, tablename), ', ') FROM pg_tables"
            " WHERE schemaname IN ('public', 'internal', 'pg_catalog')"
            " AND tablename NOT IN ('pg_statistic_ext_data')"
        ).fetchone()
        assert tables is not None
        with other.transaction():
            # Conflicts with every lock but those of plain reading.
            other.execute(f"LOCK TABLE {tables[0]} IN ROW EXCLUSIVE MODE".encode())
            run = migrate.apply(read_only, patience=HURRY)
    assert (run.migrations, run.repeatables) == ((), ())


def test_eight_at_once_are_one_that_works_and_seven_that_wait(empty: Database) -> None:
    with ThreadPoolExecutor(8) as pool:
        runs = list(pool.map(lambda _: migrate.apply(empty.dsn(), patience=HURRY), range(8)))
    assert sorted(len(run.migrations) for run in runs)[:7] == [0] * 7
    assert max(len(run.repeatables) for run in runs) > 0


def test_a_syntax_error_applies_nothing_and_names_the_line(
    database: Database, tree: Project
) -> None:
    before = database.dump()
    add_migration(
        tree,
        "broken",
        "CREATE TABLE public.half (id bigint PRIMARY KEY);\nCREATE TABEL public.x;\n",
    )
    with pytest.raises(RefusedError, match=r"\d{4}\.broken\.sql, line 2: syntax error.*TABEL"):
        migrate.apply(database.dsn(), tree)
    assert database.dump() == before


def test_a_name_without_schema_is_an_error(database: Database, tree: Project) -> None:
    add_migration(tree, "unqualified", "CREATE TABLE somewhere (id bigint PRIMARY KEY);\n")
    with pytest.raises(RefusedError, match=r"permission denied|no schema"):
        migrate.apply(database.dsn(), tree)


def test_an_edited_applied_migration_is_refused(database: Database, tree: Project) -> None:
    file = tree.migrations_folder / "0002.organizations.sql"
    file.write_text(file.read_text() + "-- harmless\n")
    with pytest.raises(RefusedError, match=r"0002\.organizations\.sql was edited after it was add"):
        migrate.apply(database.dsn(), tree)
    write_sums([file.name], tree)  # whoever hides the edit from SUMS meets the ledger
    with pytest.raises(RefusedError, match=r"0002\.organizations\.sql was edited after it was app"):
        migrate.apply(database.dsn(), tree)


def test_a_database_ahead_of_the_tree_is_refused(database: Database, tree: Project) -> None:
    newest = tree.migrations()[-1].id
    for file in tree.migrations_folder.glob(f"{newest}.*"):
        file.unlink()
    (tree.migrations_folder / "SUMS").unlink()
    write_sums((), tree)
    with pytest.raises(RefusedError, match=f"has migration {newest}, which this tree"):
        migrate.apply(database.dsn(), tree)


def test_whoever_holds_a_lock_is_named(database: Database, tree: Project) -> None:
    add_migration(
        tree, "add-note", "ALTER TABLE public.organizations ADD COLUMN note text;\n",
        "ALTER TABLE public.organizations DROP COLUMN note;\n",
    )  # fmt: skip
    told: list[str] = []
    with database.connect("wedsync_ops") as other, other.transaction():
        other.execute("SELECT count(*) FROM public.organizations /* long report */")
        pid = other.info.backend_pid
        with pytest.raises(BusyError) as refusal:
            migrate.apply(database.dsn(), tree, HURRY, told.append)
    assert f"pid {pid} (wedsync_ops, tests, idle in transaction" in refusal.value.message
    assert "long report" in refusal.value.message
    assert any("attempt 1 of 2" in line for line in told)
    assert any(line.startswith("waiting for pid") for line in told)
    migrate.apply(database.dsn(), tree, HURRY)  # the other is gone: now it works
    assert database.value("SELECT count(note) FROM public.organizations") == 0


def test_a_killed_run_leaves_nothing_stuck(database: Database, tree: Project) -> None:
    before = database.dump()
    path = add_migration(
        tree, "slow", "CREATE TABLE public.half (id bigint PRIMARY KEY);\nSELECT pg_sleep(60);\n"
    )
    code = (
        "import sys; from pathlib import Path; from guestcomms import migrate;"
        "migrate.apply(sys.argv[1], migrate.Project(Path(sys.argv[2])))"
    )
    sleeping = (
        "SELECT count(*) FROM pg_stat_activity"
        " WHERE query LIKE '%pg_sleep(60)%' AND application_name = 'guestcomms migrate'"
    )
    with subprocess.Popen([sys.executable, "-c", code, database.dsn(), str(tree.root)]) as process:
        wait_until(lambda: database.value(sleeping) == 1)
        process.send_signal(signal.SIGKILL)
    wait_until(lambda: database.value(sleeping) == 0)
    assert database.dump() == before
    file = tree.root / path
    file.write_text("CREATE TABLE public.whole (id bigint PRIMARY KEY);")
    write_sums([file.name], tree)
    assert migrate.apply(database.dsn(), tree, HURRY).migrations == (path,)


CONCURRENTLY = """\
-- An index of its own, built beside the traffic.
-- transactional: false
DROP INDEX CONCURRENTLY IF EXISTS public.organizations_name;
CREATE UNIQUE INDEX CONCURRENTLY organizations_name ON public.organizations (name);
"""


def test_a_migration_outside_of_a_transaction(database: Database, tree: Project) -> None:
    for _ in range(2):
        database.execute("SELECT create_organization(NULL, 'same')", "wedsync_ops")
    add_migration(tree, "index", CONCURRENTLY)
    with pytest.raises(RefusedError, match=r"could not create unique index.*what came before is"):
        migrate.apply(database.dsn(), tree)
    invalid = "SELECT count(*) FROM pg_index WHERE NOT indisvalid"
    assert database.value(invalid) == 1  # PostgreSQL leaves it behind
    problems = migrate.plan(database.dsn(), tree).problems
    assert str(problems[0]).startswith("invalid index public.organizations_name")
    database.execute("UPDATE public.organizations SET name = organization_id::text")
    migrate.apply(database.dsn(), tree)
    assert database.value(invalid) == 0


def test_its_rollback_cleans_up_what_failed(database: Database, tree: Project) -> None:
    for _ in range(2):
        database.execute("SELECT create_organization(NULL, 'same')", "wedsync_ops")
    rollback = "DROP INDEX CONCURRENTLY IF EXISTS public.organizations_name;\n"
    add_migration(tree, "index", CONCURRENTLY, rollback)
    with pytest.raises(RefusedError, match="could not create unique index"):
        migrate.apply(database.dsn(), tree)
    assert database.value("SELECT count(*) FROM pg_index WHERE NOT indisvalid") == 0


def test_a_drifted_object_is_put_right(database: Database) -> None:
    before = database.dump()
    database.execute("GRANT EXECUTE ON FUNCTION public.enter_tenant(uuid) TO PUBLIC")
    database.execute("DROP POLICY tenant ON public.organizations")
    database.execute("CREATE POLICY gap ON public.organizations USING (true)")
    database.execute("DROP FUNCTION internal.live_rows()")
    found = {change.file.path for change in migrate.plan(database.dsn()).changes}
    assert found == {
        "functions/public/enter_tenant.sql",
        "policies/organizations.sql",
        "functions/internal/live_rows.sql",
    }
    assert set(migrate.apply(database.dsn()).repeatables) == found
    assert without_times(database.dump()) == without_times(before)


def without_times(dump: str) -> str:
    return "\n".join(line for line in dump.splitlines() if "INTO internal.applied_sql" not in line)


def test_a_right_deleted_from_a_file_is_deleted_from_the_database(
    database: Database, tree: Project
) -> None:
    file = tree.root / "policies" / "communication_backups.sql"
    file.write_text("GRANT SELECT ON public.communication_backups TO comms_ops;\n")
    assert migrate.apply(database.dsn(), tree).repeatables == (
        "policies/communication_backups.sql",
    )
    query = "SELECT has_table_privilege(%s, 'public.communication_backups', 'SELECT')"
    with database.connect() as connection:
        rights = {
            role: db.one_value(connection, query, (role,))
            for role in ("comms_ops", "comms_auditor")
        }
    assert rights == {"comms_ops": True, "comms_auditor": False}


@pytest.mark.parametrize(
    ("body", "message"),
    [
        ("BEGIN RETURN 1 +; END", "syntax error"),
        ("BEGIN IF true THEN RETURN 1; END IFF; END", "syntax error"),
    ],
)
def test_a_broken_body_applies_no_file_at_all(
    database: Database, tree: Project, body: str, message: str
) -> None:
    folder = tree.root / "functions" / "public"
    (folder / "a_good_one.sql").write_text(
        "CREATE FUNCTION public.a_good_one() RETURNS int LANGUAGE sql RETURN 1;\n"
        "REVOKE ALL ON FUNCTION public.a_good_one() FROM PUBLIC;\n"
    )
    (folder / "broken.sql").write_text(
        f"CREATE FUNCTION public.broken() RETURNS int LANGUAGE plpgsql AS $$ {body} $$;\n"
    )
    before = database.dump()
    with pytest.raises(RefusedError, match=f"functions/public/broken.sql.*{message}"):
        migrate.apply(database.dsn(), tree)
    assert database.dump() == before


def test_a_file_that_makes_something_else_is_refused(database: Database, tree: Project) -> None:
    (tree.root / "functions" / "public" / "misnamed.sql").write_text(
        "CREATE FUNCTION public.other() RETURNS int LANGUAGE sql RETURN 1;\n"
    )
    with pytest.raises(RefusedError, match=r"misnamed\.sql makes no function public\.misnamed"):
        migrate.apply(database.dsn(), tree)


def test_a_deleted_file_whose_object_remains_is_refused(database: Database, tree: Project) -> None:
    (tree.root / "functions" / "public" / "unbind_login.sql").unlink()
    with pytest.raises(RefusedError, match=r"unbind_login\.sql is gone from the tree, but"):
        migrate.apply(database.dsn(), tree)
    path = add_migration(tree, "drop-unbind", "DROP FUNCTION public.unbind_login(uuid, name);\n")
    assert migrate.apply(database.dsn(), tree).migrations == (path,)


def test_a_login_that_may_not_migrate_is_refused(database: Database) -> None:
    with pytest.raises(RefusedError, match="this login: become comms_owner"):
        migrate.apply(database.dsn("wedsync_app"))


def test_a_plain_postgresql_is_told_what_it_lacks(database: Database) -> None:
    name = f"plain_{database.name}"
    database.server.execute(f"CREATE DATABASE {name} TEMPLATE template0")
    try:
        dsn = database.server.dsn(name)
        missing = {str(one) for one in migrate.plan(dsn).missing}
        assert "schema internal owned by comms_owner" in missing
        assert "extension plpython3u" in missing
        with pytest.raises(RefusedError, match="lacks what migrations build on: schema public"):
            migrate.apply(dsn)
    finally:
        database.server.execute(f"DROP DATABASE {name}")


def test_nobody_listening_is_one_sentence() -> None:
    with pytest.raises(UnreachableError, match=r"No connection to database x on 127\.0\.0\.1:1 "):
        migrate.apply("postgresql://u:secret@127.0.0.1:1/x")
