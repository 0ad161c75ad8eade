"""Every migration goes up, down and up again, and leaves what it found."""

from __future__ import annotations

import contextlib
import re
import shutil
from pathlib import Path
from typing import cast

import pytest
from guestcomms import migrate, paths
from guestcomms.errors import RefusedError, UnhealthyError, UsageError
from guestcomms.migrate import Project
from guestcomms.migrate.harness import write_sums
from guestcomms.migrate.schema import NO_PARTITIONS

from tests.db import rows
from tests.db.server import Database

LEDGERS = {"internal.applied_sql", "internal._yoyo_migration", "internal._yoyo_log"}
IDS = [migration.id for migration in Project(paths.ROOT).migrations()]


def tree_up_to(root: Path, migration_id: str | None) -> Project:
    """A tree with the migrations up to and including one, and nothing repeatable."""
    folder = root / (migration_id or "none")
    (folder / "migrations").mkdir(parents=True)
    for file in (paths.ROOT / "migrations").glob("*.sql"):
        if migration_id and file.name[:4] <= migration_id[:4]:
            shutil.copy(file, folder / "migrations")
    tree = Project(folder)
    write_sums((), tree)
    return tree


def up(database: Database, tree: Project) -> None:
    """Apply; that tenant tables have no policies yet is what the last stage complains about."""
    with contextlib.suppress(UnhealthyError):
        migrate.apply(database.dsn(), tree)


def schema(database: Database) -> str:
    """The dump without moments, and without yoyo's own records of what there was once."""
    lines = re.sub(r"'\d{4}-\d\d-\d\d [^']*'", "'…'", database.dump()).splitlines()
    return "\n".join(line for line in lines if "_yoyo_" not in line and "applied_sql V" not in line)


@pytest.mark.parametrize("migration_id", IDS)
def test_up_down_up(empty: Database, tmp_path: Path, migration_id: str) -> None:
    earlier = [one for one in IDS if one < migration_id]
    if earlier:
        up(empty, tree_up_to(tmp_path, earlier[-1]))
    else:
        step_through_yoyos_own_tables(empty, tmp_path)
    tree = tree_up_to(tmp_path, migration_id)
    before = schema(empty)
    up(empty, tree)
    applied = schema(empty)
    assert applied != before
    migrate.rollback(empty.dsn(), migrate.rollback_plan(empty.dsn(), 1, tree), tree)
    assert schema(empty) == before
    up(empty, tree)
    assert schema(empty) == applied


def step_through_yoyos_own_tables(empty: Database, root: Path) -> None:
    """yoyo keeps its tables once it has run: they are there before and after."""
    tree = tree_up_to(root / "first", IDS[0])
    up(empty, tree)
    migrate.rollback(empty.dsn(), migrate.rollback_plan(empty.dsn(), 1, tree), tree)


def test_all_down_and_up_again_is_the_same_schema(database: Database) -> None:
    before = database.server.run("pg_dump", "--schema-only", "--restrict-key=t", database.name)
    migrate.rollback(database.dsn(), migrate.rollback_plan(database.dsn(), len(IDS)))
    assert database.value("SELECT to_regclass('public.organizations') IS NULL")
    migrate.apply(database.dsn())
    assert before == database.server.run(
        "pg_dump", "--schema-only", "--restrict-key=t", database.name
    )


def test_down_and_up_with_rows_in_every_table(database: Database) -> None:
    """Each rollback says beforehand which rows it destroys, and the schema comes back as it was."""
    rows.fill(database)
    before, rights = schema_only(database), policies(database)
    for migration_id in reversed(IDS):
        planned = migrate.rollback_plan(database.dsn(), 1)
        assert planned[0].id == migration_id
        said = {
            loss.what.removeprefix("public.")
            for loss in migrate.losses(database.dsn(), planned)
            if loss.rows != 0
        }
        had, columns = rows.counts(database), columns_of(database)
        migrate.rollback(database.dsn(), planned)
        left = rows.counts(database)
        lost = {name for name in had.keys() - left.keys() if had[name]}
        lost |= {
            name for name in columns - columns_of(database) if left.get(name.rpartition(".")[0])
        }
        assert said == lost
        assert {name: had[name] for name in left if had[name] != left[name]}.keys() <= LEDGERS
    migrate.apply(database.dsn())
    assert schema_only(database) == before
    assert policies(database) == rights


def schema_only(database: Database) -> str:
    """Without partitions: a job may have made more of them than a migration."""
    options = ("--schema-only", "--restrict-key=t", NO_PARTITIONS)
    return database.server.run("pg_dump", *options, database.name)


def policies(database: Database) -> object:
    return database.value("SELECT jsonb_agg(p ORDER BY p::text) FROM pg_policies AS p")


def columns_of(database: Database) -> set[str]:
    query = """
        SELECT coalesce(array_agg(format('%s.%s', attrelid::regclass, attname)), '{}')
        FROM pg_attribute JOIN pg_class ON pg_class.oid = attrelid
        WHERE relkind IN ('r', 'p') AND NOT relispartition AND attnum > 0 AND NOT attisdropped
            AND relnamespace IN ('public'::regnamespace, 'internal'::regnamespace)
    """
    return set(cast("list[str]", database.value(query)))


def test_rolling_back_more_than_there_is_is_refused(database: Database) -> None:
    with pytest.raises(UsageError, match=f"has {len(IDS)} migrations applied, 99 cannot"):
        migrate.rollback_plan(database.dsn(), 99)


def test_a_plan_that_somebody_overtook_is_refused(database: Database) -> None:
    planned = migrate.rollback_plan(database.dsn(), 1)
    migrate.rollback(database.dsn(), planned)
    with pytest.raises(RefusedError, match="not those of the plan any more"):
        migrate.rollback(database.dsn(), planned)


def test_a_migration_without_rollback_is_refused(database: Database, tree: Project) -> None:
    (tree.migrations_folder / f"{IDS[-1]}.rollback.sql").unlink()
    (tree.migrations_folder / "SUMS").unlink()
    write_sums((), tree)
    with pytest.raises(RefusedError, match=f"{IDS[-1]}.sql has no rollback file"):
        migrate.rollback_plan(database.dsn(), 1, tree)
