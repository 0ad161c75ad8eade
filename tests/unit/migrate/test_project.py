"""The rules of file names and of migrations/SUMS."""

from __future__ import annotations

from pathlib import Path

import pytest
from guestcomms import migrate, paths
from guestcomms.errors import RefusedError, UsageError
from guestcomms.migrate import Project, sums
from guestcomms.migrate.project import Migration
from guestcomms.migrate.versions import is_stepwise


@pytest.fixture
def tree(tmp_path: Path) -> Project:
    (tmp_path / "migrations").mkdir()
    project = Project(tmp_path)
    for name in ("first", "second"):
        migrate.new(name, project)
    sums.write(project)
    return project


def test_new_takes_the_next_number_and_writes_both_files(tree: Project) -> None:
    forward, backward = migrate.new("add-note", tree)
    assert (forward.name, backward.name) == ("0003.add-note.sql", "0003.add-note.rollback.sql")
    assert forward.read_text().startswith("-- What this changes")


@pytest.mark.parametrize("name", ["", "Add", "a b", "../x", "a--b", "-a", "a_b", "ä"])
def test_new_refuses_what_is_no_name(tree: Project, name: str) -> None:
    with pytest.raises(UsageError, match="cannot be a migration's name"):
        migrate.new(name, tree)


@pytest.mark.parametrize("name", ["schema.sql", "7.x.sql", "0003-x.sql", "__init__.py", "README"])
def test_a_foreign_file_is_refused(tree: Project, name: str) -> None:
    (tree.migrations_folder / name).write_text("")
    with pytest.raises(RefusedError, match=f"migrations/{name} is no name of a migration"):
        tree.migrations()


def test_one_number_twice_is_refused(tree: Project) -> None:
    (tree.migrations_folder / "0002.other.sql").write_text("")
    with pytest.raises(
        RefusedError, match=r"0002\.other\.sql and .*0002\.second\.sql have the same"
    ):
        tree.migrations()


def test_a_rollback_of_nothing_is_refused(tree: Project) -> None:
    (tree.migrations_folder / "0009.gone.rollback.sql").write_text("")
    with pytest.raises(RefusedError, match=r"0009\.gone\.rollback\.sql rolls back nothing"):
        tree.migrations()


def test_a_repeatable_is_named_by_its_path(tree: Project) -> None:
    for path in ("functions/public/f.sql", "policies/t.sql", "policies/internal.t.sql"):
        (tree.root / path).parent.mkdir(parents=True, exist_ok=True)
        (tree.root / path).write_text("")
    found = [(one.kind, one.schema, one.name) for one in tree.repeatables()]
    assert found == [
        ("function", "public", "f"),
        ("policy", "internal", "t"),
        ("policy", "public", "t"),
    ]


def test_sums_accept_what_they_note(tree: Project) -> None:
    sums.check(tree)
    assert sums.write(tree) == []


def test_a_new_file_is_noted_once_it_is_finished(tree: Project) -> None:
    migrate.new("third", tree)
    with pytest.raises(RefusedError, match=r"0003\.third\.\S*sql is not in SUMS"):
        sums.check(tree)
    assert sums.write(tree) == ["0003.third.rollback.sql", "0003.third.sql"]
    sums.check(tree)


def test_an_edit_has_to_be_named(tree: Project) -> None:
    file = tree.migrations_folder / "0001.first.sql"
    file.write_text("SELECT 1;")
    for refused in (lambda: sums.check(tree), lambda: sums.write(tree)):
        with pytest.raises(RefusedError, match=r"0001\.first\.sql was edited after"):
            refused()
    assert sums.write(tree, frozenset([file.name])) == [file.name]
    sums.check(tree)


def test_an_edit_that_is_none_is_refused(tree: Project) -> None:
    with pytest.raises(RefusedError, match=r"0001\.first\.sql has no edit to accept"):
        sums.write(tree, frozenset(["0001.first.sql"]))


def test_a_deleted_file_is_missed(tree: Project) -> None:
    (tree.migrations_folder / "0002.second.sql").unlink()
    with pytest.raises(RefusedError, match=r"0002\.second\.sql is in SUMS but not in the folder"):
        sums.check(tree)


OURS = Project(paths.ROOT).migrations()


@pytest.mark.parametrize("migration", OURS, ids=[one.id for one in OURS])
def test_each_of_ours_has_a_header_and_a_rollback(migration: Migration) -> None:
    lines = migration.file.read_text().splitlines()
    assert all(line.startswith("-- ") for line in lines[:3])
    assert lines[2].startswith("-- Locks: ")
    assert migration.rollback_file is not None


@pytest.mark.parametrize("migration", OURS, ids=[one.id for one in OURS])
def test_each_of_ours_tells_squawk_and_yoyo_the_same(
    migration: Migration,
) -> None:
    """Without the second line squawk judges a concurrent index as if it ran in a transaction."""
    squawk_knows = "-- squawk-disable-assume-in-transaction" in migration.file.read_text()
    assert is_stepwise(migration) == squawk_knows


def test_ours_are_in_sums() -> None:
    sums.check(Project(paths.ROOT))


def test_both_lines_that_a_merge_keeps_are_one_after_sums(tree: Project) -> None:
    right = sums.path(tree).read_text()
    sums.path(tree).write_text(right + right.replace(right[:4], "0000"))
    sums.check(tree)
    assert sums.write(tree) == []
    assert sums.path(tree).read_text() == right
