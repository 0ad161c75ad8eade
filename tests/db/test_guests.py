"""Guests: upsert_guests() writes all or nothing, search_guests() finds page by page."""

from __future__ import annotations

import json
import time
import uuid
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from guestcomms import db

from tests.db.server import Database
from tests.db.tenant_rows import Organization, organization

NIL = "00000000-0000-0000-0000-000000000000"
ANN: dict[str, Any] = {"external_id": "1", "name": "Ann", "email": "Ann@Example.com"}


@pytest.fixture
def ours(shared: Database) -> Organization:
    return organization(shared)


def upsert(of: Organization, *guests: object, login: str = "wedsync_app") -> list[tuple[str, str]]:
    """The id and the action of every guest, in their order."""
    with of.database.connect(login) as connection:
        rows = connection.execute(
            "SELECT place, guest_id::text, action FROM upsert_guests(%s, %s)",
            (of.id, json.dumps(guests)),
        ).fetchall()
    assert [row[0] for row in rows] == list(range(1, len(guests) + 1))
    return [(row[1], row[2]) for row in rows]


def stored(of: Organization, guest_id: str) -> dict[str, Any]:
    with of.database.connect() as connection:
        (row,) = db.rows(connection, "SELECT * FROM public.guests WHERE guest_id = %s", (guest_id,))
    return dict(row)


def test_the_nil_uuid_is_no_organization(database: Database) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        database.execute(f"SELECT create_organization('{NIL}', 'x')", "wedsync_ops")
    assert refusal.value.sqlstate == "GC006"


def test_a_guest_is_inserted_then_unchanged_then_updated(ours: Organization) -> None:
    ((guest_id, action),) = upsert(ours, ANN)
    assert action == "inserted"
    assert upsert(ours, ANN) == [(guest_id, "unchanged")]
    assert upsert(ours, ANN | {"name": "Anna"}) == [(guest_id, "updated")]
    assert upsert(ours, {"guest_id": guest_id, "language": "de"}) == [(guest_id, "updated")]
    row = stored(ours, guest_id)
    assert (row["name"], row["email"], row["language"]) == ("Anna", "Ann@Example.com", "de")


def test_an_absent_key_leaves_the_value_and_null_clears_it(ours: Organization) -> None:
    full = ANN | {
        "phone": "+49 (30) 12-345.67", "push_token": "t", "language": "pt-BR",
        "time_zone": "Europe/Berlin",
    }  # fmt: skip
    ((guest_id, _),) = upsert(ours, full)
    assert stored(ours, guest_id)["phone"] == "+49301234567"
    assert upsert(ours, {"external_id": "1"}) == [(guest_id, "unchanged")]
    before = stored(ours, guest_id)
    upsert(ours, {"external_id": "1", "email": None, "phone": None})
    row = stored(ours, guest_id)
    assert (row["email"], row["email_hash"], row["phone"], row["phone_hash"]) == (None,) * 4
    assert (row["push_token"], row["push_hash"]) == (before["push_token"], before["push_hash"])


def test_hashes_are_those_by_which_everybody_recognises_an_address(ours: Organization) -> None:
    ((guest_id, _),) = upsert(ours, ANN | {"phone": "0049301234567", "push_token": "t"})
    row = stored(ours, guest_id)
    for channel, address, column in [
        ("email", "ann@example.com", "email_hash"), ("sms", "+49301234567", "phone_hash"),
        ("push", "t", "push_hash"),
    ]:  # fmt: skip
        with ours.database.connect() as connection:
            expected = db.one_value(
                connection,
                "SELECT internal.address_hash(%s, %s, %s)",
                (ours.id, channel, address),
            )
        assert row[column] == expected


@pytest.mark.parametrize(
    "name",
    ["שלום", "👰🏽‍♀️ Ann", "O'Brien; DROP TABLE guests; --", "<b>Ann</b>", "{{name}}", "\u202eAnn"],
)
def test_any_writing_is_kept_as_it_is(ours: Organization, name: str) -> None:
    ((guest_id, _),) = upsert(ours, {"name": name})
    assert stored(ours, guest_id)["name"] == name


@pytest.mark.parametrize(
    ("guest", "sqlstate", "message"),
    [
        (1, "GC301", "guest 2: 1"),
        (None, "GC301", "guest 2: null"),
        ([], "GC301", "guest 2: []"),
        ({"name": "B", "mail": "b@example.com"}, "GC302", 'guest 2: there is no field "mail"'),
        ({"name": "B", "email": "b"}, "GC303", 'guest 2: email cannot be "b"'),
        ({"name": "B", "email": ""}, "GC303", 'guest 2: email cannot be ""'),
        ({"name": "B", "email": "a@b.c,d@e.f"}, "GC303", "email cannot be"),
        ({"name": "B", "email": "a,b@example.com"}, "GC303", "email cannot be"),
        ({"name": "B", "email": "a@example.com\r\nBcc: x"}, "GC303", "email cannot be"),
        ({"name": "B", "email": "x" * 250 + "@a.bc"}, "GC303", "email cannot be"),
        ({"name": "B", "email": ["b@example.com"]}, "GC303", "email cannot be"),
        ({"name": "B", "phone": "030 1234567"}, "GC303", "phone cannot be"),
        ({"name": "B", "phone": 49301234567}, "GC303", "phone cannot be"),
        ({"name": "B", "language": "Deutsch"}, "GC303", "language cannot be"),
        ({"name": "B", "time_zone": "Moon/Crater"}, "GC303", "time_zone cannot be"),
        ({"name": "B", "time_zone": "Foo3"}, "GC303", "time_zone cannot be"),
        ({"name": "B", "time_zone": "CEST"}, "GC303", "time_zone cannot be"),
        ({"name": "B", "push_token": "a b"}, "GC303", "push_token cannot be"),
        ({"name": "B", "external_id": ""}, "GC303", "external_id cannot be"),
        ({"name": "B", "guest_id": "7"}, "GC303", "guest_id cannot be"),
        ({"name": "Bob\r\nBcc: x@example.com"}, "GC303", "name cannot be"),
        ({"name": "a\x07"}, "GC303", "name cannot be"),
        ({"name": "  "}, "GC303", "name cannot be"),
        ({"name": None}, "GC303", "name cannot be null"),
        ({"name": "x" * 201}, "GC303", "name cannot be"),
        ({"email": "b@example.com"}, "GC304", "guest 2: a new guest without a name"),
        ({"name": "B", "external_id": "1"}, "GC305", "guests 1 and 2 are the same"),
        ({"name": "B", "guest_id": str(uuid.uuid4())}, "GC306", "guest 2: there is no guest"),
    ],
)  # fmt: skip
def test_one_wrong_guest_refuses_all(
    ours: Organization, guest: object, sqlstate: str, message: str
) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        upsert(ours, ANN, guest)
    assert refusal.value.sqlstate == sqlstate
    assert message in str(refusal.value)
    assert ours.call("SELECT count(*) FROM public.guests") == 0


@pytest.mark.parametrize(
    ("guests", "sqlstate"),
    [(None, "GC300"), ("{}", "GC301"), ("null", "GC301"), ('"x"', "GC301")],
)
def test_what_is_no_array_is_refused(ours: Organization, guests: object, sqlstate: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        ours.call("SELECT count(*) FROM upsert_guests(%s, %s)", ours.id, guests)
    assert refusal.value.sqlstate == sqlstate


def test_an_empty_array_is_nothing_to_do(ours: Organization) -> None:
    assert upsert(ours) == []


def test_the_same_guest_by_id_and_by_key_is_twice(ours: Organization) -> None:
    ((guest_id, _),) = upsert(ours, ANN)
    with pytest.raises(db.DatabaseError, match="guests 1 and 3 are the same"):
        upsert(ours, ANN, {"name": "B"}, {"guest_id": guest_id, "name": "C"})


def test_a_key_of_another_guest_is_refused(ours: Organization) -> None:
    (ann, _), (ben, _) = upsert(ours, ANN, {"external_id": "2", "name": "Ben"})
    with pytest.raises(db.DatabaseError) as refusal:
        upsert(ours, {"guest_id": ben, "external_id": "1"})
    assert refusal.value.sqlstate == "GC307"
    assert stored(ours, ann)["external_id"] == "1"


def test_an_erased_guest_is_never_written_again(ours: Organization) -> None:
    ((guest_id, _),) = upsert(ours, ANN)
    with ours.database.connect() as connection:
        connection.execute(
            "UPDATE public.guests SET erased_at = now(), external_id = NULL, name = NULL,"
            " email = NULL, email_hash = NULL WHERE guest_id = %s",
            (guest_id,),
        )
    assert upsert(ours, {"guest_id": guest_id, "name": "Ann"}) == [(guest_id, "erased")]
    assert stored(ours, guest_id)["name"] is None


def test_a_guest_of_another_organization_is_unknown(ours: Organization) -> None:
    theirs = organization(ours.database, "B", None)
    ours.database.execute(f"SELECT bind_login('{theirs.id}', 'wedsync_app')", "wedsync_ops")
    ((guest_id, _),) = upsert(theirs, ANN)
    with pytest.raises(db.DatabaseError) as refusal:
        upsert(ours, {"guest_id": guest_id, "name": "Mine"})
    assert refusal.value.sqlstate == "GC306"
    assert upsert(ours, ANN)[0][0] != guest_id  # the same key is another guest here
    ours.database.execute(f"SELECT unbind_login('{theirs.id}', 'wedsync_app')", "wedsync_ops")
    for call in ("upsert_guests(%s, '[]')", "search_guests(%s, '')"):
        with pytest.raises(db.DatabaseError) as refusal:
            ours.call(f"SELECT count(*) FROM {call}", theirs.id)
        assert refusal.value.sqlstate == "GC001"


def test_calls_at_once_make_every_guest_once(ours: Organization) -> None:
    """In opposite orders, alone and in bulk: nobody waits in a circle, nobody is there twice."""
    guests = [{"external_id": str(number), "name": f"Guest {number}"} for number in range(300)]

    def call(number: int) -> int:
        mine = guests if number % 2 else guests[::-1]
        if number % 4 == 0:
            return len([upsert(ours, one) for one in mine[:60]])
        return len(upsert(ours, *(one | {"language": f"a{chr(97 + number)}"} for one in mine)))

    with ThreadPoolExecutor(8) as pool:
        assert sum(pool.map(call, range(12))) == 3 * 60 + 9 * 300
    assert ours.call("SELECT count(*) FROM public.guests") == 300


def test_a_hundred_thousand_guests_in_one_call(database: Database) -> None:
    """Also on a table that had none, whose statistics know nothing: minutes would be a bad plan."""
    ours = organization(database)
    guests = [
        {"external_id": f"k{n}", "name": f"Guest {n}", "email": f"guest{n}@example.com",
         "phone": f"+4930{n:07d}", "time_zone": "Europe/Berlin"}
        for n in range(100_000)
    ]  # fmt: skip
    for action in ("inserted", "updated"):
        if action == "updated":
            guests = [one | {"name": one["name"] + "!"} for one in guests]
        begin = time.monotonic()
        assert {done for _, done in upsert(ours, *guests)} == {action}
        assert time.monotonic() - begin < 120
    with pytest.raises(db.DatabaseError) as refusal:
        upsert(ours, *guests, {"name": "one too many"})
    assert refusal.value.sqlstate == "GC301"


def found(of: Organization, query: str, limit: int = 50) -> list[str]:
    """All names that a search finds, page by page."""
    names: list[str] = []
    key: object = None
    guest_id: object = None
    with of.database.connect("wedsync_app") as connection:
        while page := connection.execute(
            "SELECT name, search_key, guest_id FROM search_guests(%s, %s, %s, %s, %s)",
            (of.id, query, limit, key, guest_id),
        ).fetchall():
            names += [row[0] for row in page]
            _, key, guest_id = page[-1]
    return names


@pytest.mark.parametrize("limit", [1, 2, 500])
def test_search_finds_beginnings_of_names_and_addresses_once(
    ours: Organization, limit: int
) -> None:
    upsert(
        ours,
        {"name": "Ann", "email": "ann@example.com"},
        {"name": "anna", "email": "x@example.com"},
        {"name": "Joanna"},
        {"name": "Zoe", "email": "Annette@example.com"},
        *({"name": name} for name in ("Ann", "An%", "Émile")),
    )
    assert sorted(found(ours, "ANN", limit)) == ["Ann", "Ann", "Zoe", "anna"]
    assert found(ours, "an%", limit) == ["An%"]
    assert found(ours, "éM", limit) == ["Émile"]
    assert len(found(ours, "", limit)) == 7
    assert found(ours, "'; --", limit) == []


@pytest.mark.parametrize(
    ("arguments", "sqlstate"),
    [
        ("NULL", "GC300"), ("'a', 0", "GC308"), ("'a', 501", "GC308"), ("'a', NULL", "GC308"),
        ("'a', 5, 'a'", "GC308"), (f"'a', 5, NULL, '{NIL}'", "GC308"),
    ],
)  # fmt: skip
def test_search_refuses_nonsense(ours: Organization, arguments: str, sqlstate: str) -> None:
    with pytest.raises(db.DatabaseError) as refusal:
        ours.call(f"SELECT count(*) FROM search_guests(%s, {arguments})", ours.id)
    assert refusal.value.sqlstate == sqlstate


def test_searching_and_resolving_use_indexes_under_row_security(database: Database) -> None:
    """A condition that might leak a value is never an index condition: a seq scan per guest."""
    fresh = organization(database)
    upsert(fresh, *({"external_id": str(n), "name": f"Guest {n}"} for n in range(2000)))
    upsert(fresh, *({"external_id": str(n), "language": "de"} for n in range(1000)))
    found(fresh, "guest 1999")
    with fresh.database.connect() as connection:
        connection.execute("SELECT pg_stat_force_next_flush()")
        scans = db.one_value(
            connection, "SELECT seq_tup_read FROM pg_stat_user_tables WHERE relname = 'guests'"
        )
    assert int(str(scans)) < 20_000
