"""Partitioned tables as docs/how-to/add-a-table.md makes them: by a migration, kept up by a job."""

from __future__ import annotations

import re

import pytest
from guestcomms import db, migrate, paths
from guestcomms.migrate import Project
from guestcomms.migrate.schema import DUMP_OPTIONS

from tests.db.server import Database
from tests.db.test_apply import add_migration

POLICY = """
CREATE POLICY tenant ON public.events TO comms_app, comms_owner
USING (organization_id = (SELECT internal.current_organization()))
WITH CHECK (organization_id = (SELECT internal.current_organization()));
GRANT SELECT ON public.events TO comms_app;
"""


def from_the_manual() -> list[str]:
    """The migration and the rollback of the how-to, with what it leaves to the section before."""
    text = (paths.ROOT / "docs/how-to/add-a-table.md").read_text(encoding="utf-8")
    section = text.split("## A partitioned table")[1].split("## Changes")[0]
    forward, backward = re.findall(r"```sql\n(.*?)```", section, re.DOTALL)
    security = "ALTER TABLE public.events {} ROW LEVEL SECURITY;\n"
    return [forward + security.format("ENABLE") + security.format("FORCE"), backward]


@pytest.fixture
def partitioned(database: Database, tree: Project) -> Database:
    add_migration(tree, "events", *from_the_manual())
    (tree.root / "policies/events.sql").write_text(POLICY)
    migrate.apply(database.dsn(), tree)
    return database


def partitions(database: Database) -> list[str]:
    with database.connect() as connection:
        rows = db.rows(
            connection,
            "SELECT relid::text AS name FROM pg_partition_tree('public.events') WHERE isleaf"
            " ORDER BY 1",
        )
    return [row["name"] for row in rows]


def test_a_migration_makes_the_months_before_and_ahead(partitioned: Database) -> None:
    assert len(partitions(partitioned)) == 7
    assert all(re.fullmatch(r"events_p\d{8}", name) for name in partitions(partitioned))
    assert partitioned.value(
        "SELECT bool_and(reloptions = '{fillfactor=90}') FROM pg_class"
        " WHERE relispartition AND relkind = 'r' AND relname LIKE 'events_p%'"
    )


def test_the_job_makes_the_next_one_without_any_row(partitioned: Database) -> None:
    before = partitions(partitioned)
    partitioned.execute(
        "UPDATE partman.part_config SET premake = 4 WHERE parent_table = 'public.events'",
        "guestcomms_cron",
    )
    partitioned.execute("SELECT internal.maintain_partitions()", "guestcomms_cron")
    after = partitions(partitioned)
    assert after[: len(before)] == before < after
    owner = "SELECT relowner::regrole::text FROM pg_class WHERE oid = to_regclass('public.{}')"
    assert partitioned.value(owner.format(after[-1])) == "comms_owner"


def test_the_job_drops_what_is_past_its_retention(partitioned: Database) -> None:
    before = partitions(partitioned)
    partitioned.execute(
        "UPDATE partman.part_config SET retention = '1 month', retention_keep_table = false"
        " WHERE parent_table = 'public.events'"
    )
    partitioned.execute("SELECT internal.maintain_partitions()", "guestcomms_cron")
    after = partitions(partitioned)
    assert before[0] not in after
    assert before[3] in after


def test_nobody_creates_in_the_schema_of_the_extension(database: Database) -> None:
    query = "SELECT has_schema_privilege('comms_owner', 'partman', 'CREATE')"
    assert database.value(query) is False


def test_a_partition_is_read_through_its_table_alone(partitioned: Database) -> None:
    one = "018f0000-0000-7000-8000-000000000001"
    partitioned.execute(f"SELECT create_organization('{one}', 'A', 'UTC', '{{wedsync_app}}')")
    partitioned.execute("SELECT create_organization(NULL, 'B')")
    partitioned.execute(
        "INSERT INTO public.events (organization_id)"
        " SELECT organization_id FROM public.organizations"
    )
    with partitioned.connect("wedsync_app") as connection, connection.transaction():
        connection.execute("SELECT public.enter_tenant(%s)", (one,))
        seen = db.one_value(connection, "SELECT array_agg(organization_id::text) FROM events")
    assert seen == [one]
    with pytest.raises(db.sqlstates.InsufficientPrivilege):
        partitioned.execute(f"SELECT FROM public.{partitions(partitioned)[3]}", "wedsync_app")


def test_the_verification_accepts_partitions_without_grants_only(
    partitioned: Database, tree: Project
) -> None:
    assert migrate.plan(partitioned.dsn(), tree).problems == ()
    name = partitions(partitioned)[0]
    partitioned.execute(f"GRANT SELECT ON public.{name} TO comms_app")
    problems = [f"{one.what} {one.name}" for one in migrate.plan(partitioned.dsn(), tree).problems]
    assert problems == [f"partition with grants public.{name}"]


def test_an_index_that_not_every_partition_has_shows(partitioned: Database, tree: Project) -> None:
    partitioned.execute("CREATE INDEX events_half ON ONLY public.events (event_id)")
    problems = [f"{one.what} {one.name}" for one in migrate.plan(partitioned.dsn(), tree).problems]
    assert problems == ["invalid index public.events_half"]


def test_the_picture_of_the_schema_has_no_partitions(partitioned: Database) -> None:
    text = partitioned.server.run("pg_dump", *DUMP_OPTIONS, partitioned.name)
    assert "CREATE TABLE public.events" in text
    assert not re.search(r"events_p\d", text)


def test_every_table_gets_its_months_also_when_nothing_is_written(database: Database) -> None:
    """pg_partman's own default ends the series after a month without rows."""
    query = "SELECT count(*) FROM partman.part_config WHERE NOT infinite_time_partitions"
    assert database.value(query) == 0


def test_its_rollback_leaves_nothing(partitioned: Database, tree: Project) -> None:
    migrate.rollback(partitioned.dsn(), migrate.rollback_plan(partitioned.dsn(), 1, tree), tree)
    left = "SELECT count(*) FROM pg_class WHERE relname LIKE 'events%'"
    assert partitioned.value(left) == 0
    left = "SELECT count(*) FROM partman.part_config WHERE parent_table = 'public.events'"
    assert partitioned.value(left) == 0
