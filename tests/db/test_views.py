"""functions/views: a view is its file, whatever it was before, and whoever reads it comes along."""

from __future__ import annotations

import pytest
from guestcomms import migrate
from guestcomms.errors import RefusedError
from guestcomms.migrate import Project

from tests.db.server import Database
from tests.db.test_apply import add_migration, without_times

NAMES = """
CREATE VIEW public.names WITH (security_invoker = true) AS
SELECT {} FROM public.organizations AS organization;
COMMENT ON VIEW public.names IS 'Names of organizations.';
GRANT SELECT ON public.names TO comms_ops;
"""
LENGTHS = """
CREATE VIEW internal.lengths WITH (security_invoker = true) AS
SELECT length(named.name) AS characters FROM public.names AS named;
"""
COUNTS = """
SET LOCAL ROLE comms_maintenance;
CREATE MATERIALIZED VIEW public.counts AS
SELECT organization.name, count(*) AS organizations
FROM public.organizations AS organization GROUP BY organization.name;
CREATE UNIQUE INDEX counts_name ON public.counts (name);
COMMENT ON MATERIALIZED VIEW public.counts IS 'How many have a name.';
GRANT SELECT ON public.counts TO comms_report;
"""


@pytest.fixture
def viewed(database: Database, tree: Project) -> Database:
    """A database with views; the first in order of names reads the last."""
    write(tree, "names", NAMES.format("organization.organization_id, organization.name"))
    write(tree, "internal.lengths", LENGTHS)
    write(tree, "counts", COUNTS)
    database.execute("SELECT create_organization(NULL, 'A')")
    assert migrate.apply(database.dsn(), tree).repeatables == (
        "functions/views/counts.sql",
        "functions/views/internal.lengths.sql",
        "functions/views/names.sql",
    )
    return database


def write(tree: Project, name: str, text: str) -> None:
    file = tree.root / "functions/views" / f"{name}.sql"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)


def reasons(database: Database, tree: Project) -> dict[str, str]:
    changes = migrate.plan(database.dsn(), tree).changes
    return {one.file.path.removeprefix("functions/views/"): one.reason for one in changes}


def test_a_second_run_changes_nothing(viewed: Database, tree: Project) -> None:
    assert reasons(viewed, tree) == {}
    assert migrate.apply(viewed.dsn(), tree).repeatables == ()


def test_columns_may_change_and_readers_are_made_again(viewed: Database, tree: Project) -> None:
    write(tree, "names", NAMES.format("organization.name"))
    assert reasons(viewed, tree) == {"names.sql": "edited", "internal.lengths.sql": "rebuilt"}
    migrate.apply(viewed.dsn(), tree)
    assert viewed.value("SELECT to_jsonb(n) FROM public.names AS n", "wedsync_ops") == {"name": "A"}
    assert viewed.value("SELECT characters FROM internal.lengths") == 1
    assert reasons(viewed, tree) == {}


@pytest.mark.parametrize(
    ("by_hand", "file"),
    [
        ("GRANT SELECT ON public.names TO comms_app", "names.sql"),
        ("GRANT SELECT (name) ON public.names TO comms_app", "names.sql"),
        ("COMMENT ON VIEW public.names IS NULL", "names.sql"),
        ("COMMENT ON COLUMN public.names.name IS 'x'", "names.sql"),
        ("ALTER VIEW public.names RESET (security_invoker)", "names.sql"),
        ("DROP INDEX public.counts_name", "counts.sql"),
        ("ALTER MATERIALIZED VIEW public.counts OWNER TO comms_owner", "counts.sql"),
        ("DROP MATERIALIZED VIEW public.counts", "counts.sql"),
        ("ALTER VIEW internal.lengths RENAME characters TO letters", "internal.lengths.sql"),
    ],
)
def test_what_somebody_changed_by_hand_is_put_right(
    viewed: Database, tree: Project, by_hand: str, file: str
) -> None:
    before = viewed.dump()
    viewed.execute(by_hand)
    assert reasons(viewed, tree)[file] == "drifted"
    migrate.apply(viewed.dsn(), tree)
    assert without_times(viewed.dump()) == without_times(before)


def test_an_error_leaves_everything_as_it_was(viewed: Database, tree: Project) -> None:
    before = viewed.dump()
    write(tree, "names", NAMES.format("organization.nothing AS name"))
    with pytest.raises(RefusedError, match=r"views/names\.sql, line 3: column .*nothing does not"):
        migrate.apply(viewed.dsn(), tree)
    write(tree, "names", NAMES.format("organization.organization_id"))  # what lengths reads is gone
    with pytest.raises(RefusedError, match=r"views/internal\.lengths\.sql, .*column named\.name"):
        migrate.apply(viewed.dsn(), tree)
    assert viewed.dump() == before


def test_a_reader_without_a_file_is_named(viewed: Database, tree: Project) -> None:
    viewed.execute("CREATE VIEW public.by_hand AS SELECT name FROM public.names")
    write(tree, "names", NAMES.format("organization.name"))
    with pytest.raises(RefusedError, match=r"names\.sql has to .*view public\.by_hand depends on"):
        migrate.apply(viewed.dsn(), tree)


def test_a_view_that_reads_something_missing_says_so(database: Database, tree: Project) -> None:
    write(tree, "internal.lengths", LENGTHS)
    with pytest.raises(RefusedError, match=r'lengths\.sql, line 3: relation "public\.names" does'):
        migrate.apply(database.dsn(), tree)


def test_a_deleted_file_needs_a_migration_that_drops_the_view(
    viewed: Database, tree: Project
) -> None:
    (tree.root / "functions/views/internal.lengths.sql").unlink()
    with pytest.raises(RefusedError, match=r"views/internal\.lengths\.sql is gone from the tree"):
        migrate.apply(viewed.dsn(), tree)
    add_migration(tree, "drop-lengths", "DROP VIEW internal.lengths;\n")
    migrate.apply(viewed.dsn(), tree)
    assert viewed.value("SELECT to_regclass('internal.lengths') IS NULL")


def test_a_view_that_reads_as_its_owner_shows(viewed: Database, tree: Project) -> None:
    assert migrate.plan(viewed.dsn(), tree).problems == ()
    viewed.execute("ALTER VIEW public.names RESET (security_invoker)")
    problems = [f"{one.what} {one.name}" for one in migrate.plan(viewed.dsn(), tree).problems]
    assert problems == ["view that reads as its owner public.names"]


def test_a_materialized_view_sees_every_tenant_by_its_owner(viewed: Database) -> None:
    assert viewed.value("SELECT organizations FROM public.counts", "wedsync_report") == 1
    viewed.execute("SELECT create_organization(NULL, 'A')")
    viewed.execute("REFRESH MATERIALIZED VIEW CONCURRENTLY public.counts", "guestcomms_cron")
    assert viewed.value("SELECT organizations FROM public.counts", "wedsync_report") == 2
