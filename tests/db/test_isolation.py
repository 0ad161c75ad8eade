"""No tenant sees a row of another: asked of every relation, with every login and every trick."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from guestcomms import db

from tests.db import rows
from tests.db.server import LOGINS, NUMBERS, Database, Server

OURS = "018f0000-0000-7000-8000-000000000001"
"""The organization to which wedsync_app is bound in tests/db/every_function."""
THEIRS = "018f0000-0000-7000-8000-0000000000ff"

TENANT_TABLES = """
SELECT format('%s.%s', relation.relnamespace::regnamespace, relation.relname) AS name
FROM pg_class AS relation
JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid
    AND attribute.attname = 'organization_id' AND NOT attribute.attisdropped
WHERE relation.relkind IN ('r', 'p') AND NOT relation.relispartition
    AND relation.relnamespace IN ('public'::regnamespace, 'internal'::regnamespace)
ORDER BY 1
"""
# Whoever serves all tenants sees all rows; everybody else sees what he entered.
SEES_ALL = {"wedsync_ops", "wedsync_auditor", "wedsync_monitor"}


@pytest.fixture(scope="module")
def lived_in(server: Server) -> Iterator[Database]:
    """Two organizations with rows in every tenant table: the second's are copies of the first's."""
    database = server.clone("template_full", f"test_{next(NUMBERS)}")
    rows.fill(database)
    with database.connect() as connection:
        connection.execute("SET session_replication_role = replica")
        connection.execute(
            "INSERT INTO public.organizations (organization_id, name) VALUES (%s, 'Theirs')"
            " ON CONFLICT DO NOTHING",
            (THEIRS,),
        )
        connection.execute(
            "INSERT INTO internal.rate_limit_rules (organization_id, endpoint, request_limit,"
            " window_length) VALUES (%s, 'x', 1, '1 minute')",
            (OURS,),
        )
        for table in tables(database):
            copy_to_theirs(connection, table)
    yield database
    database.drop()


def tables(database: Database) -> list[str]:
    with database.connect() as connection:
        return [row["name"] for row in db.rows(connection, TENANT_TABLES)]


def copy_to_theirs(connection: db.Connection, table: str) -> None:
    """Insert the first organization's rows again, as the second's."""
    if table in {"public.organizations", "internal.organization_logins"}:
        return  # nobody is bound to theirs
    columns = db.rows(
        connection,
        "SELECT attname::text AS name FROM pg_attribute WHERE attrelid = %s::regclass"
        " AND attnum > 0 AND NOT attisdropped AND attgenerated = '' AND attidentity <> 'a'",
        (table,),
    )
    names = [db.sql.Identifier(row["name"]) for row in columns]
    values = [
        db.sql.Literal(THEIRS) if row["name"] == "organization_id" else name
        for row, name in zip(columns, names, strict=True)
    ]
    comma = db.sql.SQL(", ")
    connection.execute(
        db.sql.SQL("INSERT INTO {} ({}) SELECT {} FROM {} WHERE organization_id = {}").format(
            db.sql.SQL(table),
            comma.join(names),
            comma.join(values),
            db.sql.SQL(table),
            db.sql.Literal(OURS),
        )
    )


def seen(connection: db.Connection, table: str) -> set[str] | None:
    """Organizations whose rows a login sees; None if it may not look at all."""
    try:
        rows = db.rows(
            connection,
            db.sql.SQL("SELECT DISTINCT organization_id::text AS one FROM {}").format(
                db.sql.SQL(table)
            ),
        )
    except db.sqlstates.InsufficientPrivilege:
        return None
    return {row["one"] for row in rows}


def test_there_is_something_to_see(lived_in: Database) -> None:
    with lived_in.connect() as connection:
        without = [
            table
            for table in tables(lived_in)
            if table != "internal.organization_logins"
            and not {OURS, THEIRS} <= (seen(connection, table) or set())
        ]
    assert without == []


@pytest.mark.parametrize("login", [f"wedsync_{role}" for role in LOGINS])
@pytest.mark.parametrize("entered", [None, OURS, THEIRS])
def test_a_login_sees_what_it_may(lived_in: Database, login: str, entered: str | None) -> None:
    """With no tenant, with its own, and with a forged setting that names another's."""
    wrong: dict[str, set[str]] = {}
    with lived_in.connect(login) as connection:
        for table in tables(lived_in):
            with connection.transaction(force_rollback=True):
                if entered:
                    connection.execute(
                        "SELECT set_config('app.organization_id', %s, true)", (entered,)
                    )
                found = seen(connection, table)
            may_enter = login == "wedsync_worker" or (login, entered) == ("wedsync_app", OURS)
            allowed = {entered} if may_enter else set()
            if login not in SEES_ALL and found and found - allowed:
                wrong[table] = found
            if login == "wedsync_app" and entered == OURS and found is not None:
                assert found == {OURS}, table
    assert wrong == {}


def test_without_its_policy_a_table_would_show(lived_in: Database) -> None:
    """The test above turns red: a policy that lets everybody in is seen in every tenant table."""
    leaks = []
    with lived_in.connect() as connection:
        readable = [
            row["name"]
            for row in db.rows(connection, TENANT_TABLES)
            if db.one_value(
                connection,
                "SELECT has_table_privilege('wedsync_app', %s, 'SELECT')",
                (row["name"],),
            )
        ]
        for table in readable:
            with connection.transaction(force_rollback=True):
                connection.execute(
                    f"CREATE POLICY mistake ON {table} TO comms_app USING (true)".encode()
                )
                connection.execute("SET LOCAL SESSION AUTHORIZATION wedsync_app")
                if THEIRS in (seen(connection, table) or set()):
                    leaks.append(table)
    assert leaks == readable


def test_an_api_call_for_another_tenant_is_refused(lived_in: Database) -> None:
    """Every function that takes an organization first: none answers for one nobody bound us to."""
    with lived_in.connect() as connection:
        functions = db.rows(
            connection,
            """
            SELECT routine.proname::text AS name, prosrc AS body,
                array(
                    SELECT format_type(argument, NULL)
                    FROM unnest(routine.proargtypes) WITH ORDINALITY AS given (argument, place)
                    WHERE place > 1 AND place <= routine.pronargs - routine.pronargdefaults
                    ORDER BY place
                ) AS others
            FROM pg_proc AS routine
            WHERE routine.pronamespace = 'public'::regnamespace
                AND routine.proargnames[1] = 'p_organization_id'
                AND routine.proname <> 'enter_tenant'
                AND has_function_privilege('wedsync_app', routine.oid, 'EXECUTE')
            """,
        )
    assert len(functions) > 20
    answers: dict[str, str | None] = {}
    with lived_in.connect("wedsync_app") as connection:
        for function in functions:
            assert "enter_tenant(p_organization_id)" in function["body"], function["name"]
            nothing = "".join(f", NULL::{kind}" for kind in function["others"])
            try:
                connection.execute(
                    f"SELECT public.{function['name']}('{THEIRS}'{nothing})".encode()
                )
                answers[function["name"]] = None
            except db.DatabaseError as error:
                answers[function["name"]] = error.sqlstate
    assert [name for name, state in answers.items() if not str(state).startswith("GC")] == []
