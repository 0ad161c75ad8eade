"""Rules that every object has to keep, whoever wrote it, and proof that breaking one shows."""

from __future__ import annotations

import re

import pytest
from guestcomms import migrate, paths
from guestcomms.migrate import Project

from tests.db.server import Database

SCHEMAS = ["public", "internal"]
BARE = """
CREATE TABLE public.bare (organization_id uuid NOT NULL);
ALTER TABLE public.bare ENABLE ROW LEVEL SECURITY;
ALTER TABLE public.bare FORCE ROW LEVEL SECURITY;
"""


def fetch(database: Database, query: str) -> list[str]:
    with database.connect() as connection:
        return [str(row[0]) for row in connection.execute(query.encode(), (SCHEMAS,)).fetchall()]


def test_the_verification_finds_nothing(database: Database) -> None:
    plan = migrate.plan(database.dsn())
    assert (plan.problems, plan.missing, plan.to_apply) == ((), (), [])


@pytest.mark.parametrize(
    ("mutation", "problem"),
    [
        (BARE, "tenant table without a policy public.bare"),
        ("ALTER TABLE public.organizations NO FORCE ROW LEVEL SECURITY",
         "table without forced row security public.organizations"),
        ("CREATE TABLE public.other (organization_id uuid NOT NULL)",
         "table without forced row security public.other"),
        ("CREATE FUNCTION public.open() RETURNS int LANGUAGE sql RETURN 1",
         "function that PUBLIC may execute public.open()"),
        ("ALTER TABLE public.organizations ADD CONSTRAINT not_x_name CHECK (name <> 'x') NOT VALID",
         "unvalidated constraint not_x_name of public.organizations"),
    ],
)  # fmt: skip
def test_breaking_a_rule_shows(database: Database, mutation: str, problem: str) -> None:
    database.execute(mutation)
    problems = [f"{one.what} {one.name}" for one in migrate.plan(database.dsn()).problems]
    assert problem in problems


def test_dropping_one_policy_shows_as_drift(database: Database) -> None:
    database.execute("DROP POLICY tenant ON public.organizations")
    assert migrate.pending_migrations(database.dsn()) == ["policies/organizations.sql"]


def test_the_tenant_key_comes_first(database: Database) -> None:
    """In every primary, unique and foreign key of a tenant table."""
    wrong = fetch(
        database,
        """
        SELECT format('%%s: %%s', conrelid::regclass, pg_get_constraintdef(pg_constraint.oid))
        FROM pg_constraint
        JOIN pg_attribute AS tenant ON tenant.attrelid = conrelid
            AND tenant.attname = 'organization_id' AND NOT tenant.attisdropped
        WHERE contype IN ('p', 'u', 'f') AND connamespace = ANY (%s::regnamespace[])
            AND conkey[1] <> tenant.attnum
        """,
    )
    assert wrong == []


def test_everything_is_explained(database: Database) -> None:
    """A comment on every table, column and function of ours; a partition is its parent's."""
    without = fetch(
        database,
        """
        WITH ours AS (SELECT %s::regnamespace[] AS schemas)
        SELECT relation.oid::regclass::text FROM pg_class AS relation, ours
        WHERE relkind IN ('r', 'p', 'v', 'm') AND relnamespace = ANY (ours.schemas)
            AND NOT relispartition AND relname NOT LIKE '\\_yoyo%%'
            AND obj_description(relation.oid, 'pg_class') IS NULL
        UNION ALL
        SELECT format('%%s.%%s', attrelid::regclass, attname)
        FROM pg_attribute JOIN pg_class AS relation ON relation.oid = attrelid, ours
        WHERE relkind IN ('r', 'p') AND relnamespace = ANY (ours.schemas) AND attnum > 0
            AND NOT relispartition AND NOT attisdropped AND relname NOT LIKE '\\_yoyo%%'
            AND col_description(attrelid, attnum) IS NULL
        UNION ALL
        SELECT routine.oid::regprocedure::text FROM pg_proc AS routine, ours
        WHERE pronamespace = ANY (ours.schemas) AND obj_description(routine.oid, 'pg_proc') IS NULL
        """,
    )
    assert without == []


def test_every_function_fixes_its_search_path_but_one(database: Database) -> None:
    """Or has a standard body, whose names were resolved when it was made."""
    without = fetch(
        database,
        """
        SELECT routine.oid::regproc::text FROM pg_proc AS routine
        WHERE pronamespace = ANY (%s::regnamespace[]) AND prosqlbody IS NULL
            AND NOT EXISTS (SELECT FROM unnest(proconfig) AS c WHERE c LIKE 'search_path=%%')
        """,
    )
    assert without == ["internal.current_organization"]


def test_no_standard_body_returns_the_rows_of_a_table(database: Database) -> None:
    """It keeps the columns of the day when it was made: after ADD COLUMN every call is an error."""
    wrong = fetch(
        database,
        """
        SELECT routine.oid::regproc::text
        FROM pg_proc AS routine JOIN pg_type AS type ON type.oid = routine.prorettype
        WHERE pronamespace = ANY (%s::regnamespace[]) AND prosqlbody IS NOT NULL
            AND type.typrelid <> 0
        """,
    )
    assert wrong == []


def test_that_one_qualifies_everything() -> None:
    """Every name and operator in it carries its schema; keywords and its own variables do not."""
    text = (paths.ROOT / "functions/internal/current_organization.sql").read_text()
    assert unqualified(text) == set()


def test_an_unqualified_name_would_show() -> None:
    text = (paths.ROOT / "functions/internal/current_organization.sql").read_text()
    assert unqualified(text.replace("pg_catalog.current_setting", "current_setting"))
    assert unqualified(text.replace("OPERATOR(pg_catalog.=)", "=", 1))
    assert unqualified(text.replace("internal.unrestricted_logins", "unrestricted_logins"))


def unqualified(text: str) -> set[str]:
    body = text.split("$plpgsql$")[1]
    body = re.sub(r"/\*.*?\*/|'[^']*'", "", body, flags=re.DOTALL)
    body = re.sub(r"OPERATOR\(pg_catalog\.[^)]+\)|:=", "", body)
    body = re.sub(r"\b[a-z_]+\.[a-z_]+\b", "", body)  # schema.name, alias.column
    keywords = {"true", "bound", "unrestricted", "v_setting", "v_organization_id"}
    names = set(re.findall(r"\b[a-z_]+\b", body)) - keywords
    return names | set(re.findall(r"[=<>!~|+*/-]+", body))


def test_plpgsql_check_finds_nothing(database: Database) -> None:
    database.execute("CREATE EXTENSION plpgsql_check")
    found = fetch(
        database,
        """
        SELECT concat_ws(' ', routine.oid::regprocedure, found.lineno, found.level, found.message)
        FROM pg_proc AS routine
        JOIN pg_language AS language ON language.oid = routine.prolang
        LEFT JOIN pg_trigger AS trigger ON trigger.tgfoid = routine.oid
        CROSS JOIN LATERAL plpgsql_check_function_tb(
            routine.oid, relid => coalesce(trigger.tgrelid, 0), fatal_errors => false,
            extra_warnings => true, performance_warnings => false, security_warnings => true
        ) AS found
        WHERE language.lanname = 'plpgsql' AND pronamespace = ANY (%s::regnamespace[])
        """,
    )
    assert found == []


def test_plpgsql_check_would_find_a_mistake(database: Database) -> None:
    database.execute("CREATE EXTENSION plpgsql_check")
    database.execute(
        "CREATE FUNCTION public.wrong() RETURNS void LANGUAGE plpgsql"
        " AS 'BEGIN PERFORM missing_column FROM public.organizations; END'"
    )
    query = "SELECT count(*) FROM plpgsql_check_function_tb('public.wrong()')"
    assert database.value(query) == 1


def test_every_function_has_its_file(database: Database) -> None:
    """What is not in functions/ was made by the bootstrap or frozen in a migration."""
    names = """
        SELECT format('%%s.%%s', pronamespace::regnamespace, proname) FROM pg_proc
        WHERE pronamespace = ANY (%s::regnamespace[])
    """
    made = set(fetch(database, names))
    files = {f"{one.schema}.{one.name}" for one in Project(paths.ROOT).repeatables()
             if one.kind == "function"}  # fmt: skip
    assert made - files == {
        "internal.aes256_gcm_encrypt", "internal.aes256_gcm_decrypt",
        "internal.wrap_key", "internal.unwrap_key", "internal.uuid_v7", "internal.uuid_v7_time",
        "internal.status_rank",
    }  # fmt: skip
    assert files <= made
