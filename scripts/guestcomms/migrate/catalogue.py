"""What the catalogue says about the object of a repeatable file, as one checksum.

It is compared with the checksum taken right after the file was applied: a function that a rollback
removed, a grant given by hand and a policy edited in psql all show, though the file is unchanged.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable
from typing import Any

from guestcomms import db
from guestcomms.migrate.project import Repeatable
from guestcomms.migrate.session import CRON, OWNER, become

Key = tuple[str, str, str]
"""kind, schema, name"""

# Definition, owner, grants, comment, and the triggers that call it; one row per overload.
_FUNCTIONS = """
SELECT 'function' AS kind, namespace.nspname AS schema, routine.proname AS name,
    jsonb_build_array(
        pg_get_functiondef(routine.oid),
        pg_get_userbyid(routine.proowner),
        (
            SELECT jsonb_agg(grant_.text ORDER BY grant_.text)
            FROM (
                SELECT concat_ws('/', acl.grantee::regrole, acl.privilege_type, acl.is_grantable)
                FROM aclexplode(coalesce(routine.proacl, acldefault('f', routine.proowner))) AS acl
            ) AS grant_ (text)
        ),
        obj_description(routine.oid, 'pg_proc'),
        (
            SELECT jsonb_agg(pg_get_triggerdef(trigger.oid) || trigger.tgenabled::text
                ORDER BY trigger.tgrelid::regclass::text, trigger.tgname)
            FROM pg_trigger AS trigger
            WHERE trigger.tgfoid = routine.oid AND NOT trigger.tgisinternal
        )
    )::text AS fact
FROM pg_proc AS routine
JOIN pg_namespace AS namespace ON namespace.oid = routine.pronamespace
WHERE routine.prokind IN ('f', 'p') AND namespace.nspname = ANY (%s)
"""

# Row security, policies and grants, also those of single columns.
_POLICIES = """
SELECT 'policy' AS kind, namespace.nspname AS schema, relation.relname AS name,
    jsonb_build_array(
        relation.relrowsecurity, relation.relforcerowsecurity,
        (
            SELECT jsonb_agg(jsonb_build_array(
                policy.policyname, policy.permissive, policy.roles, policy.cmd, policy.qual,
                policy.with_check
            ) ORDER BY policy.policyname)
            FROM pg_policies AS policy
            WHERE policy.schemaname = namespace.nspname AND policy.tablename = relation.relname
        ),
        (
            SELECT jsonb_agg(grant_.text ORDER BY grant_.text)
            FROM (
                SELECT concat_ws('/', acl.grantee::regrole, acl.privilege_type, acl.is_grantable)
                FROM aclexplode(coalesce(
                    relation.relacl, acldefault('r', relation.relowner)
                )) AS acl
                UNION ALL
                SELECT concat_ws('/', attribute.attname, acl.grantee::regrole, acl.privilege_type)
                FROM pg_attribute AS attribute CROSS JOIN aclexplode(attribute.attacl) AS acl
                WHERE attribute.attrelid = relation.oid
            ) AS grant_ (text)
        )
    )::text AS fact
FROM pg_class AS relation
JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
WHERE relation.relkind IN ('r', 'p', 'v', 'm', 'S') AND namespace.nspname = ANY (%s)
"""

# Definition, options, owner, grants, comment, and the indexes of a materialized one.
_VIEWS = """
SELECT 'view' AS kind, namespace.nspname AS schema, relation.relname AS name,
    jsonb_build_array(
        relation.relkind, pg_get_viewdef(relation.oid), relation.reloptions,
        pg_get_userbyid(relation.relowner),
        (
            SELECT jsonb_agg(grant_.text ORDER BY grant_.text)
            FROM (
                SELECT concat_ws('/', acl.grantee::regrole, acl.privilege_type, acl.is_grantable)
                FROM aclexplode(relation.relacl) AS acl
                UNION ALL
                SELECT concat_ws('/', attribute.attname, acl.grantee::regrole, acl.privilege_type)
                FROM pg_attribute AS attribute CROSS JOIN aclexplode(attribute.attacl) AS acl
                WHERE attribute.attrelid = relation.oid
            ) AS grant_ (text)
        ),
        (
            SELECT jsonb_agg(jsonb_build_array(comment.objsubid, comment.description)
                ORDER BY comment.objsubid)
            FROM pg_description AS comment
            WHERE comment.objoid = relation.oid AND comment.classoid = 'pg_class'::regclass
        ),
        (
            SELECT jsonb_agg(pg_get_indexdef(index.indexrelid) ORDER BY 1)
            FROM pg_index AS index
            WHERE index.indrelid = relation.oid
        )
    )::text AS fact
FROM pg_class AS relation
JOIN pg_namespace AS namespace ON namespace.oid = relation.relnamespace
WHERE relation.relkind IN ('v', 'm') AND namespace.nspname = ANY (%s)
"""

_JOBS = """
SELECT 'job' AS kind, 'cron' AS schema, jobname AS name,
    jsonb_build_array(schedule, command, active)::text AS fact
FROM cron.job
WHERE username = current_user AND jobname IS NOT NULL
"""

# Those who read a view come before it.
_READERS = """
WITH RECURSIVE reader (relation, depth) AS (
    SELECT relation.oid, 0
    FROM pg_class AS relation
    WHERE relation.relkind IN ('v', 'm')
        AND (relation.relnamespace::regnamespace::text, relation.relname::text) IN (
            SELECT * FROM unnest(%s::text[], %s::text[])
        )
    UNION
    SELECT rule.ev_class, reader.depth + 1
    FROM reader
    JOIN pg_depend AS dependence ON dependence.refclassid = 'pg_class'::regclass
        AND dependence.refobjid = reader.relation AND dependence.classid = 'pg_rewrite'::regclass
    JOIN pg_rewrite AS rule ON rule.oid = dependence.objid AND rule.ev_class <> reader.relation
)

SELECT relation.relnamespace::regnamespace::text AS schema, relation.relname AS name
FROM reader JOIN pg_class AS relation ON relation.oid = reader.relation
GROUP BY relation.oid, relation.relnamespace, relation.relname
ORDER BY max(reader.depth) DESC, 1, 2
"""


def checksums(connection: db.Connection, files: Iterable[Repeatable]) -> dict[str, str]:
    """Checksum by path, for every file whose object is in the catalogue."""
    wanted = list(files)
    schemas = sorted({file.schema for file in wanted})
    rows = [
        row
        for query in (_FUNCTIONS, _POLICIES, _VIEWS)
        for row in db.rows(connection, query, (schemas,))
    ]
    if has_cron(connection):
        rows += _jobs(connection)
    facts: defaultdict[Key, list[str]] = defaultdict(list)
    for row in rows:
        facts[row["kind"], row["schema"], row["name"]].append(row["fact"])
    return {
        file.path: _digest(facts[file.kind, file.schema, file.name])
        for file in wanted
        if (file.kind, file.schema, file.name) in facts
    }


def has_cron(connection: db.Connection) -> bool:
    """Whether this database schedules jobs."""
    query = "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'pg_cron')"
    return bool(db.one_value(connection, query))


def readers(connection: db.Connection, views: Iterable[Repeatable]) -> list[tuple[str, str]]:
    """Schema and name of views and of all that read them, each before what it reads."""
    named = list(views)
    rows = db.rows(
        connection, _READERS, ([one.schema for one in named], [one.name for one in named])
    )
    return [(row["schema"], row["name"]) for row in rows]


def _jobs(connection: db.Connection) -> list[dict[str, Any]]:
    """pg_cron shows a job to the role that scheduled it."""
    with connection.transaction():
        become(connection, CRON)
        rows = db.rows(connection, _JOBS)
        become(connection, OWNER)
    return rows


def _digest(facts: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()
