"""functions/ and policies/: applied whenever the file or the object it made is not as it was.

A file says everything about its object: before it is applied again, the grants of the function, or
the grants and policies of the relation, are taken away, so that a line deleted from the file is a
right deleted from the database. All of it is one transaction: nobody sees a table in between.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from guestcomms import db
from guestcomms.errors import RefusedError
from guestcomms.migrate import catalogue, ledger
from guestcomms.migrate.explain import refused
from guestcomms.migrate.project import Project, Repeatable
from guestcomms.migrate.session import IN_THE_WAY, OWNER, Session

Reason = Literal["new", "edited", "drifted"]


@dataclass(frozen=True)
class Change:
    """A file to apply, and why; drifted: the file is unchanged, its object is not."""

    file: Repeatable
    reason: Reason


def changes(
    connection: db.Connection, project: Project, entries: dict[str, ledger.Entry]
) -> list[Change]:
    """The files that have to be applied, in order; reads only."""
    files = project.repeatables()
    present = catalogue.checksums(connection, files)
    found = ((file, _reason(file, entries.get(file.path), present)) for file in files)
    return [Change(file, reason) for file, reason in found if reason]


def leftovers(
    connection: db.Connection, project: Project, entries: dict[str, ledger.Entry]
) -> list[str]:
    """Paths in the ledger that the tree no longer has.

    Raises `RefusedError` if the object of one is still there: deleting a file deletes nothing.
    """
    present = {file.path for file in project.repeatables()}
    gone = [path for path in entries if path not in present and not path.startswith("migrations/")]
    lost = [_without_text(path) for path in gone]
    if still_there := sorted(catalogue.checksums(connection, lost)):
        raise RefusedError(
            f"{still_there[0]} is gone from the tree, but what it made is still in the database;"
            " write a migration that drops it (`.venv/bin/guestcomms migrate new drop-…`), or bring"
            " it back."
        )
    return gone


def apply(session: Session, project: Project, todo: list[Change], gone: list[str]) -> None:
    """Apply files in one transaction, check what they made, note it.

    Raises `RefusedError` with file and line for SQL that the server refuses; then nothing of any
    file is applied.
    """
    if not todo and not gone:
        return
    try:
        session.patiently("functions/ and policies/", lambda: _apply(session, project, todo, gone))
    except db.DatabaseError as error:
        if session.connection.broken:
            raise
        raise refused("functions/ and policies/", "", error, "nothing was applied") from error


def _apply(session: Session, project: Project, todo: list[Change], gone: list[str]) -> None:
    connection = session.connection
    with connection.transaction():
        # Functions may call functions of later files: bodies are checked when all are there.
        connection.execute("SET LOCAL check_function_bodies = off")
        for change in todo:
            _clear(connection, change.file)
            _run(connection, change.file)
        _check_bodies(connection, [change.file for change in todo])
        made = catalogue.checksums(connection, project.repeatables())
        for change in todo:
            file = change.file
            if file.path not in made:
                raise RefusedError(
                    f"{file.path} makes no {file.kind} {file.schema}.{file.name}; path and content"
                    " must name the same object. Nothing was applied."
                )
            ledger.write(connection, file.path, ledger.Entry(file.sha256, made[file.path]))
        for path in gone:
            ledger.forget(connection, path)


def _reason(file: Repeatable, entry: ledger.Entry | None, present: dict[str, str]) -> Reason | None:
    if entry is None:
        return "new"
    if entry.sha256 != file.sha256:
        return "edited"
    return None if entry.catalogue_sha256 == present.get(file.path) else "drifted"


def _run(connection: db.Connection, file: Repeatable) -> None:
    try:
        connection.execute(file.text.encode())
    except db.DatabaseError as error:
        if connection.broken or isinstance(error, IN_THE_WAY):
            raise
        todo = "nothing was applied: correct it and apply again"
        raise refused(file.path, file.text, error, todo) from error
    finally:
        if connection.info.transaction_status == db.IN_TRANSACTION:
            _become(connection, OWNER)  # a file may have become another role, for itself only
    if connection.info.transaction_status != db.IN_TRANSACTION:
        raise RefusedError(
            f"{file.path} ends the transaction it runs in; take its BEGIN and COMMIT away."
        )


def _clear(connection: db.Connection, file: Repeatable) -> None:
    """Take away the rights that an earlier version of the file gave."""
    for row in db.rows(
        connection,
        _FUNCTION_RIGHTS if file.kind == "function" else _RELATION_RIGHTS,
        (file.schema, file.name),
    ):
        _become(connection, row["owner"])
        connection.execute(row["statement"].encode())
    _become(connection, OWNER)


def _check_bodies(connection: db.Connection, files: Iterable[Repeatable]) -> None:
    """Let each language read the bodies that were applied without being read."""
    connection.execute("SET LOCAL check_function_bodies = on")
    for file in files:
        for row in db.rows(connection, _VALIDATORS, (file.schema, file.name, file.kind)):
            _become(connection, row["owner"])
            try:
                connection.execute(row["statement"].encode())
            except db.DatabaseError as error:
                todo = "nothing was applied: correct it and apply again"
                raise refused(file.path, file.text, error, todo) from error
    _become(connection, OWNER)


def _become(connection: db.Connection, role: str) -> None:
    connection.execute(db.sql.SQL("SET LOCAL ROLE {}").format(db.sql.Identifier(role)))


def _without_text(path: str) -> Repeatable:
    """A file that is gone, as far as its path tells."""
    folder, _, rest = path.partition("/")
    stem = rest.removesuffix(".sql")
    if folder == "functions":
        schema, _, name = stem.partition("/")
        return Repeatable("function", path, schema, name, "", "")
    schema, _, name = stem.rpartition(".")
    return Repeatable("policy", path, schema or "public", name, "", "")


_FUNCTION_RIGHTS = """
SELECT DISTINCT pg_get_userbyid(routine.proowner) AS owner, format(
    'REVOKE ALL ON ROUTINE %%s FROM %%s', routine.oid::regprocedure,
    CASE WHEN acl.grantee = 0 THEN 'PUBLIC' ELSE acl.grantee::regrole::text END
) AS statement
FROM pg_proc AS routine
JOIN pg_namespace AS namespace ON namespace.oid = routine.pronamespace
CROSS JOIN aclexplode(routine.proacl) AS acl
WHERE namespace.nspname = %s AND routine.proname = %s AND acl.grantee <> routine.proowner
"""

_RELATION_RIGHTS = """
WITH relation AS (
    SELECT relation.oid, relation.relacl, relation.relowner
    FROM pg_class AS relation
    JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
    WHERE namespace.nspname = %s AND relation.relname = %s
        AND relation.relkind IN ('r', 'p', 'v', 'm')
),

grantees AS (
    SELECT acl.grantee FROM relation CROSS JOIN aclexplode(relation.relacl) AS acl
    UNION
    SELECT acl.grantee
    FROM relation
    JOIN pg_attribute AS attribute ON attribute.attrelid = relation.oid
    CROSS JOIN aclexplode(attribute.attacl) AS acl
)

SELECT pg_get_userbyid(relation.relowner) AS owner, format(
    'REVOKE ALL ON TABLE %%s FROM %%s', relation.oid::regclass,
    CASE WHEN grantees.grantee = 0 THEN 'PUBLIC' ELSE grantees.grantee::regrole::text END
) AS statement
FROM relation CROSS JOIN grantees
WHERE grantees.grantee <> relation.relowner
UNION ALL
SELECT pg_get_userbyid(relation.relowner), format(
    'DROP POLICY %%I ON %%s', policy.polname, relation.oid::regclass
)
FROM relation JOIN pg_policy AS policy ON policy.polrelid = relation.oid
"""

_VALIDATORS = """
SELECT pg_get_userbyid(routine.proowner) AS owner, format(
    'SELECT %%s(%%s::oid)', language.lanvalidator::regproc, routine.oid
) AS statement
FROM pg_proc AS routine
JOIN pg_namespace AS namespace ON namespace.oid = routine.pronamespace
JOIN pg_language AS language ON language.oid = routine.prolang
WHERE namespace.nspname = %s AND routine.proname = %s AND %s = 'function'
    AND language.lanvalidator <> 0
"""
