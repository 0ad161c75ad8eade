"""functions/ and policies/: applied whenever the file or the object it made is not as it was.

A file says everything about its object: before it is applied again, the grants of the function, or
the grants and policies of the relation, are taken away, so that a line deleted from the file is a
right deleted from the database. A view is dropped and made again, with the views that read it. All
of it is one transaction: nobody sees a state in between.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

from guestcomms import db
from guestcomms.errors import RefusedError
from guestcomms.migrate import catalogue, ledger
from guestcomms.migrate.explain import refused
from guestcomms.migrate.project import Project, Repeatable, named_by
from guestcomms.migrate.session import CRON, IN_THE_WAY, OWNER, Session, become

Reason = Literal["new", "edited", "drifted", "rebuilt"]
NOT_YET = (
    db.sqlstates.UndefinedTable,
    db.sqlstates.UndefinedFunction,
    db.sqlstates.UndefinedObject,
    db.sqlstates.InsufficientPrivilege,
)
"""What a later file may still make, or grant: a materialized view reads tables when it is made."""
_TRIGGER = re.compile(r"\bTRIGGER\s+\w+\s[^;]*?\bON\s+(\w+)\.(\w+)")
"""CREATE TRIGGER in the file of its function: the table."""
GRACE_SECONDS = 0.7
"""To get all locks, once we have the first. A client whom we keep waiting looks for a deadlock
after one second, and then it would be the one that fails."""


@dataclass(frozen=True)
class Change:
    """A file to apply, and why.

    drifted: the file is unchanged, its object is not; rebuilt: a view that reads a changed one.
    """

    file: Repeatable
    reason: Reason


def changes(
    connection: db.Connection, project: Project, entries: dict[str, ledger.Entry]
) -> list[Change]:
    """The files that have to be applied, in order; reads only."""
    skip = skipped(connection, project)
    files = [file for file in project.repeatables() if file.path not in skip]
    present = catalogue.checksums(connection, files)
    reasons = {file.path: _reason(file, entries.get(file.path), present) for file in files}
    views = [file for file in files if file.kind == "view"]
    remade = catalogue.readers(connection, [file for file in views if reasons[file.path]])
    for file in views:
        if (file.schema, file.name) in remade:
            reasons[file.path] = reasons[file.path] or "rebuilt"
    return [Change(file, reason) for file in files if (reason := reasons[file.path])]


def skipped(connection: db.Connection, project: Project) -> list[str]:
    """Paths of the jobs, where nothing schedules jobs."""
    if catalogue.has_cron(connection):
        return []
    return [file.path for file in project.repeatables() if file.kind == "job"]


def leftovers(
    connection: db.Connection, project: Project, entries: dict[str, ledger.Entry]
) -> list[str]:
    """Paths in the ledger that the tree no longer has.

    Raises `RefusedError` if the object of one is still there: deleting a file deletes nothing, but
    a job, which is no more than its file.
    """
    present = {file.path for file in project.repeatables()}
    gone = [path for path in entries if path not in present and not path.startswith("migrations/")]
    lost = [_without_text(path) for path in gone if not _is_job(path)]
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
        functions = [one.file for one in todo if one.file.kind == "function"]
        # What locks a table comes after _make_way(): a lock held while we wait for others is a
        # deadlock with whoever needs both.
        free = [file for file in functions if not _tables_of(file)]
        others = [one.file for one in todo if one.file not in free]
        early = _run_each(connection, free)
        _make_way(connection, others)
        _run_all(connection, [*early, *others])
        _check_bodies(connection, functions)
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
            if _is_job(path) and catalogue.has_cron(connection):
                _unschedule(connection, named_by(path)[2])
            ledger.forget(connection, path)


def _run_all(connection: db.Connection, files: list[Repeatable]) -> None:
    """Run files in order; one that needs what a later one makes is run again after that."""
    while files:
        early = _run_each(connection, files)
        if len(early) == len(files):
            raise next(iter(early.values()))
        files = list(early)


def _run_each(connection: db.Connection, files: list[Repeatable]) -> dict[Repeatable, RefusedError]:
    """Run files in order; returns those that need what is not there yet."""
    early: dict[Repeatable, RefusedError] = {}
    for file in files:
        connection.execute("SAVEPOINT file")
        try:
            _clear(connection, file)
            _run(connection, file)
        except RefusedError as error:
            if not isinstance(error.__cause__, NOT_YET):
                raise
            connection.execute("ROLLBACK TO SAVEPOINT file")
            early[file] = error
        connection.execute("RELEASE SAVEPOINT file")
    return early


def _make_way(connection: db.Connection, files: list[Repeatable]) -> None:
    """Lock the tables whose policies or triggers change and drop the views.

    For the first table we wait as long as `Patience` says: while we hold nothing, nobody's wait for
    us is part of a deadlock. For all others, and the views, there are `GRACE_SECONDS`.
    Raises LockNotAvailable if that takes longer: then we are the one who gives up, not a client.
    """
    named = [table for file in files for table in _tables_of(file)]
    names = ([schema for schema, _ in named], [name for _, name in named])
    tables = [row["name"] for row in db.rows(connection, _TABLES, names)]
    if tables:
        _lock(connection, tables[:1])
        if db.one_value(connection, _STUCK, (tables[0], tables)):
            raise db.sqlstates.LockNotAvailable("whoever waits for us holds what we want next")
    ends = time.monotonic() + GRACE_SECONDS
    try:
        if tables[1:]:
            _hurry(connection, ends)
            _lock(connection, tables[1:])
        _drop_views(connection, [file for file in files if file.kind == "view"], ends)
    except db.sqlstates.QueryCanceled as error:
        raise db.sqlstates.LockNotAvailable(f"no lock in {GRACE_SECONDS} s") from error
    connection.execute("SET LOCAL statement_timeout = 0")


def _tables_of(file: Repeatable) -> list[tuple[str, str]]:
    """Schema and name of the tables that a file locks when it is applied."""
    if file.kind == "policy":
        return [(file.schema, file.name)]
    return _TRIGGER.findall(file.text) if file.kind == "function" else []


def _lock(connection: db.Connection, tables: list[str]) -> None:
    names = ", ".join(f"ONLY {name}" for name in tables)
    connection.execute(f"LOCK TABLE {names} IN ACCESS EXCLUSIVE MODE".encode())


def _hurry(connection: db.Connection, ends: float) -> None:
    left = max(1, int(1000 * (ends - time.monotonic())))
    connection.execute("SELECT set_config('statement_timeout', %s, true)", (str(left),))


def _drop_views(connection: db.Connection, files: list[Repeatable], ends: float) -> None:
    """CREATE OR REPLACE keeps columns, options and rights that the file does not name any more."""
    by_name = {(file.schema, file.name): file for file in files}
    for key in catalogue.readers(connection, files):
        if key not in by_name:
            continue  # not ours: the drop of what it reads is refused, and names it
        for row in db.rows(connection, _DROP_VIEW, key):
            _hurry(connection, ends)
            try:
                connection.execute(row["statement"].encode())
            except db.sqlstates.DependentObjectsStillExist as error:
                raise RefusedError(
                    f"{by_name[key].path} has to be made again, but {error.diag.message_detail};"
                    " drop that in a migration, or give it a file. Nothing was applied."
                ) from error


def _unschedule(connection: db.Connection, name: str) -> None:
    become(connection, CRON)
    connection.execute(
        "SELECT cron.unschedule(jobname) FROM cron.job"
        " WHERE username = current_user AND jobname = %s",
        (name,),
    )
    become(connection, OWNER)


def _reason(file: Repeatable, entry: ledger.Entry | None, present: dict[str, str]) -> Reason | None:
    if entry is None:
        return "new"
    if entry.sha256 != file.sha256:
        return "edited"
    return None if entry.catalogue_sha256 == present.get(file.path) else "drifted"


def _run(connection: db.Connection, file: Repeatable) -> None:
    if file.kind == "job":
        become(connection, CRON)
    try:
        connection.execute(file.text.encode())
    except db.DatabaseError as error:
        if connection.broken or isinstance(error, IN_THE_WAY):
            raise
        todo = "nothing was applied: correct it and apply again"
        raise refused(file.path, file.text, error, todo) from error
    finally:
        if connection.info.transaction_status == db.IN_TRANSACTION:
            become(connection, OWNER)  # a file may have become another role, for itself only
    if connection.info.transaction_status != db.IN_TRANSACTION:
        raise RefusedError(
            f"{file.path} ends the transaction it runs in; take its BEGIN and COMMIT away."
        )


def _clear(connection: db.Connection, file: Repeatable) -> None:
    """Take away what an earlier version of the file gave; views are dropped already."""
    if file.kind == "job":
        _unschedule(connection, file.name)
    rights = {"function": _FUNCTION_RIGHTS, "policy": _RELATION_RIGHTS}.get(file.kind)
    rows = db.rows(connection, rights, (file.schema, file.name)) if rights else []
    for row in rows:
        become(connection, row["owner"])
        connection.execute(row["statement"].encode())
    become(connection, OWNER)


def _check_bodies(connection: db.Connection, files: Iterable[Repeatable]) -> None:
    """Let each language read the bodies that were applied without being read."""
    connection.execute("SET LOCAL check_function_bodies = on")
    for file in files:
        for row in db.rows(connection, _VALIDATORS, (file.schema, file.name, file.kind)):
            become(connection, row["owner"])
            try:
                connection.execute(row["statement"].encode())
            except db.DatabaseError as error:
                todo = "nothing was applied: correct it and apply again"
                raise refused(file.path, file.text, error, todo) from error
    become(connection, OWNER)


def _without_text(path: str) -> Repeatable:
    """A file that is gone, as far as its path tells."""
    kind, schema, name = named_by(path)
    return Repeatable(kind, path, schema, name, "", "")


def _is_job(path: str) -> bool:
    return named_by(path)[0] == "job"


# Where every call begins, then the busiest: who waits there does not begin to hold the others.
_TABLES = """
SELECT relation.oid::regclass::text AS name
FROM pg_class AS relation
LEFT JOIN pg_stat_all_tables AS used ON used.relid = relation.oid
WHERE relation.relkind IN ('r', 'p') AND pg_has_role(current_user, relation.relowner, 'USAGE')
    AND (relation.relnamespace::regnamespace::text, relation.relname::text) IN (
        SELECT * FROM unnest(%s::text[], %s::text[])
    )
ORDER BY relation.relname NOT IN ('organization_logins', 'unrestricted_logins'),
    coalesce(used.seq_scan, 0) + coalesce(used.idx_scan, 0) DESC, relation.oid
"""

# Somebody has waited for the first table, perhaps for almost a second, and holds another one.
_STUCK = """
SELECT EXISTS (
    SELECT FROM pg_locks AS waiting
    JOIN pg_locks AS holding ON holding.pid = waiting.pid AND holding.granted
    WHERE NOT waiting.granted AND waiting.relation = %s::regclass
        AND holding.relation = ANY (%s::text[]::regclass[]) AND holding.pid <> pg_backend_pid()
)
"""

_DROP_VIEW = """
SELECT format(
    'DROP %%s VIEW %%s', CASE relation.relkind WHEN 'm' THEN 'MATERIALIZED' END,
    relation.oid::regclass
) AS statement
FROM pg_class AS relation
JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
WHERE namespace.nspname = %s AND relation.relname = %s
"""

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
