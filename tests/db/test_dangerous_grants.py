"""The inventory behind docs/security.md: what would lead around row security and encryption."""

from __future__ import annotations

import pytest
from guestcomms import db

from tests.db.server import Database

UNTRUSTED = """
SELECT routine.proname AS name,
    array_agg(acl.grantee::regrole::text ORDER BY acl.grantee::regrole::text)
        FILTER (WHERE acl.grantee <> routine.proowner) AS callers
FROM pg_proc AS routine
JOIN pg_language AS language ON language.oid = routine.prolang
CROSS JOIN LATERAL aclexplode(
    coalesce(routine.proacl, acldefault('f', routine.proowner))
) AS acl
WHERE language.lanname NOT IN ('internal', 'c', 'sql', 'plpgsql')
GROUP BY routine.oid
"""
FILES = """
SELECT role.rolname || ' ' || routine.oid::regprocedure AS found
FROM pg_proc AS routine CROSS JOIN pg_roles AS role
WHERE routine.pronamespace = 'pg_catalog'::regnamespace
    AND routine.proname ~ '^(pg_read_(binary_)?file|pg_stat_file|pg_ls_dir|lo_(im|ex)port)'
    AND NOT role.rolsuper AND role.rolname !~ '^pg_'
    AND has_function_privilege(role.oid, routine.oid, 'EXECUTE')
"""
MEMBERS_OF_OWNERS = """
SELECT member::regrole || ' ' || roleid::regrole AS found FROM pg_auth_members
WHERE roleid IN ('comms_owner'::regrole, 'comms_maintenance'::regrole) ORDER BY 1
"""


def found(database: Database, query: str) -> list[str]:
    with database.connect() as connection:
        return [row["found"] for row in db.rows(connection, query.encode())]


def test_functions_in_untrusted_languages_and_who_may_call_them(database: Database) -> None:
    with database.connect() as connection:
        callers = {row["name"]: row["callers"] for row in db.rows(connection, UNTRUSTED.encode())}
    assert callers == {
        "aes256_gcm_encrypt": ["comms_maintenance", "comms_owner"],
        "aes256_gcm_decrypt": ["comms_maintenance", "comms_owner"],
        "wrap_key": ["comms_owner"],
        "unwrap_key": ["comms_owner"],
    }


def test_nobody_reads_files(database: Database) -> None:
    assert found(database, FILES) == []


@pytest.mark.parametrize("owner", ["comms_owner", "comms_maintenance"])
def test_owners_write_no_functions_in_untrusted_languages(database: Database, owner: str) -> None:
    """Nor can they replace one of those above."""
    create = "CREATE OR REPLACE FUNCTION internal.{} LANGUAGE plpython3u AS 'return p_key'"
    for function in (
        "mine() RETURNS int",
        "wrap_key(p_key bytea, p_associated_data bytea) RETURNS bytea",
    ):
        with pytest.raises(db.sqlstates.InsufficientPrivilege):
            database.execute(f"SET ROLE {owner}; {create.format(function)}", "wedsync_migrator")


def test_who_can_become_an_owner(database: Database) -> None:
    """Members of pg_* roles are in test_rights.py."""
    assert found(database, MEMBERS_OF_OWNERS) == [
        "comms_migrator comms_maintenance",
        "comms_migrator comms_owner",
        "guestcomms_cron comms_maintenance",
    ]


def test_the_inventory_sees_what_is_added(database: Database) -> None:
    database.execute("GRANT EXECUTE ON FUNCTION pg_read_file(text) TO comms_ops")
    assert "wedsync_ops pg_read_file(text)" in found(database, FILES)
    database.execute("GRANT EXECUTE ON FUNCTION internal.wrap_key(bytea, bytea) TO comms_app")
    with database.connect() as connection:
        callers = {row["name"]: row["callers"] for row in db.rows(connection, UNTRUSTED.encode())}
    assert callers["wrap_key"] == ["comms_app", "comms_owner"]
