"""Tenants: whoever is not bound to an organization sees none of it, whatever he sets."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest
from guestcomms import db

from tests.db.server import Database

A, B = "0190a5c8-0000-4000-8000-00000000000a", "0190a5c8-0000-4000-8000-00000000000b"
UNKNOWN = "0190a5c8-0000-4000-8000-0000000000ff"
NAMES = "SELECT coalesce(string_agg(name, ',' ORDER BY name), '') FROM public.organizations"


@pytest.fixture
def tenants(database: Database) -> Database:
    """Two organizations; wedsync_app is bound to A, the worker to all."""
    database.execute(
        f"SELECT create_organization('{A}', 'A', 'Europe/Berlin', ARRAY['wedsync_app']::name[]),"
        f" create_organization('{B}', 'B')",
        "wedsync_ops",
    )
    database.execute(
        "SELECT set_login_unrestricted('wedsync_worker', true, 'sends')", "wedsync_ops"
    )
    return database


@pytest.fixture
def app(tenants: Database) -> Iterator[db.Connection]:
    with tenants.connect("wedsync_app") as connection:
        yield connection


def seen(connection: db.Connection, organization_id: str) -> object:
    with connection.transaction():
        connection.execute("SELECT public.enter_tenant(%s)", (organization_id,))
        return db.one_value(connection, NAMES.encode())


def test_an_entered_tenant_sees_its_own_row(app: db.Connection) -> None:
    assert seen(app, A) == "A"


def test_nothing_is_entered_after_the_transaction(app: db.Connection) -> None:
    assert seen(app, A) == "A"
    assert db.one_value(app, NAMES.encode()) == ""


@pytest.mark.parametrize("organization", [B, UNKNOWN], ids=["foreign", "unknown"])
def test_a_foreign_tenant_is_refused_like_an_unknown_one(
    app: db.Connection, organization: str
) -> None:
    with pytest.raises(db.DatabaseError, match='login "wedsync_app" may not act for') as refusal:
        seen(app, organization)
    assert refusal.value.sqlstate == "GC001"


def test_no_tenant_is_refused(app: db.Connection) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        app.execute("SELECT public.enter_tenant(NULL)")
    assert refusal.value.sqlstate == "GC001"


@pytest.mark.parametrize("forged", [B, "", "no uuid", f"{B}' OR true --"])
def test_a_forged_setting_opens_nothing(app: db.Connection, forged: str) -> None:
    app.execute("SELECT set_config('app.organization_id', %s, false)", (forged,))
    assert db.one_value(app, NAMES.encode()) == ""


def test_own_operators_and_functions_open_nothing(tenants: Database) -> None:
    """current_organization has no search_path of its own: nothing in it may be taken over."""
    tenants.execute("GRANT CREATE ON SCHEMA public TO wedsync_app")
    tenants.execute(
        f"""
        CREATE SCHEMA trap AUTHORIZATION wedsync_app;
        SET ROLE wedsync_app;
        CREATE FUNCTION trap.yes(uuid, uuid) RETURNS boolean LANGUAGE sql AS 'SELECT true';
        CREATE FUNCTION trap.yes(name, name) RETURNS boolean LANGUAGE sql AS 'SELECT true';
        CREATE OPERATOR trap.= (FUNCTION = trap.yes, LEFTARG = uuid, RIGHTARG = uuid);
        CREATE OPERATOR trap.= (FUNCTION = trap.yes, LEFTARG = name, RIGHTARG = name);
        CREATE FUNCTION trap.current_setting(text, boolean) RETURNS text
            LANGUAGE sql AS $$ SELECT '{A}' $$;
        """
    )
    with tenants.connect("wedsync_app") as connection:
        connection.execute("SET search_path = trap, pg_catalog, public")
        connection.execute("SELECT pg_catalog.set_config('app.organization_id', %s, false)", (B,))
        assert db.one_value(connection, NAMES.encode()) == ""


def test_a_worker_enters_every_tenant_one_at_a_time(tenants: Database) -> None:
    with tenants.connect("wedsync_worker") as connection:
        assert [seen(connection, A), seen(connection, B)] == ["A", "B"]
        assert db.one_value(connection, NAMES.encode()) == ""
    tenants.execute("SELECT set_login_unrestricted('wedsync_worker', false, NULL)", "wedsync_ops")
    with tenants.connect("wedsync_worker") as connection, pytest.raises(db.DatabaseError):
        seen(connection, A)


def test_an_unbound_login_is_out_at_once(tenants: Database, app: db.Connection) -> None:
    assert seen(app, A) == "A"
    assert tenants.value(f"SELECT unbind_login('{A}', 'wedsync_app')", "wedsync_ops") is True
    assert tenants.value(f"SELECT unbind_login('{A}', 'wedsync_app')", "wedsync_ops") is False
    with pytest.raises(db.DatabaseError):
        seen(app, A)


def test_the_owner_itself_sees_no_tenant(tenants: Database) -> None:
    with tenants.connect("wedsync_migrator") as connection:
        connection.execute("SET ROLE comms_owner")
        assert db.one_value(connection, NAMES.encode()) == ""


def test_mutation_without_its_policy_a_tenant_sees_nothing(
    tenants: Database, app: db.Connection
) -> None:
    """Row security fails closed: the same statement that worked answers with no rows."""
    assert seen(app, A) == "A"
    tenants.execute("DROP POLICY tenant ON public.organizations")
    assert seen(app, A) == ""


def test_creating_again_is_the_same_organization(tenants: Database) -> None:
    again = f"SELECT (create_organization('{A}', 'A', 'Europe/Berlin')).organization_id::text"
    assert tenants.value(again, "wedsync_ops") == A
    with pytest.raises(db.DatabaseError) as conflict:
        tenants.execute(f"SELECT create_organization('{A}', 'Other')", "wedsync_ops")
    assert conflict.value.sqlstate == "GC004"


def test_creating_at_once_makes_one_organization(database: Database) -> None:
    new = str(uuid.uuid4())
    call = f"SELECT (create_organization('{new}', 'same')).organization_id::text"
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda _: database.value(call, "wedsync_ops"), range(8)))
    assert answers == [new] * 8
    assert database.value("SELECT count(*) FROM public.organizations") == 1


@pytest.mark.parametrize(
    ("call", "sqlstate"),
    [
        ("create_organization(NULL, 'x', 'Moon/Crater')", "GC005"),
        ("create_organization(NULL, '')", "23514"),
        ("create_organization(NULL, 'x', 'UTC', ARRAY['nobody']::name[])", "GC002"),
        ("create_organization(NULL, 'x', 'UTC', ARRAY['wedsync_ops']::name[])", "GC002"),
        (f"bind_login('{UNKNOWN}', 'wedsync_app')", "GC003"),
        ("set_login_unrestricted('wedsync_app', true, 'no worker')", "GC002"),
        ("set_login_unrestricted('wedsync_worker', true, '')", "GC007"),
    ],
)
def test_wrong_values_are_refused(database: Database, call: str, sqlstate: str) -> None:
    before = database.dump()
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute(f"SELECT {call}", "wedsync_ops")
    assert refusal.value.sqlstate == sqlstate
    assert database.dump() == before


def test_new_ids_are_version_7_and_ordered(database: Database) -> None:
    made = database.value(
        "SELECT array_agg(internal.uuid_v7()::text) FROM generate_series(1, 1000)"
    )
    assert isinstance(made, list)
    ids = [uuid.UUID(one) for one in made]
    assert {one.version for one in ids} == {7}
    assert len(set(ids)) == 1000
    moments = [one.int >> 80 for one in ids]
    assert moments == sorted(moments)


def test_the_platform_is_no_tenant(database: Database) -> None:
    database.execute("SELECT set_login_unrestricted('wedsync_worker', true, 'sends')")
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute(
            "SELECT enter_tenant('00000000-0000-0000-0000-000000000000')", "wedsync_worker"
        )
    assert refusal.value.sqlstate == "GC001"
