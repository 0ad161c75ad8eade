"""What the catalogue says about the object of a repeatable file, as one checksum.

It is compared with the checksum taken right after the file was applied: a function that a rollback
removed, a grant given by hand and a policy edited in psql all show, though the file is unchanged.
"""

from __future__ import annotations

import hashlib
from collections import defaultdict
from collections.abc import Iterable

from guestcomms import db
from guestcomms.migrate.project import Repeatable

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


def checksums(connection: db.Connection, files: Iterable[Repeatable]) -> dict[str, str]:
    """Checksum by path, for every file whose object is in the catalogue."""
    wanted = list(files)
    schemas = sorted({file.schema for file in wanted})
    facts: defaultdict[Key, list[str]] = defaultdict(list)
    for query in (_FUNCTIONS, _POLICIES):
        for row in db.rows(connection, query, (schemas,)):
            facts[row["kind"], row["schema"], row["name"]].append(row["fact"])
    return {
        file.path: _digest(facts[file.kind, file.schema, file.name])
        for file in wanted
        if (file.kind, file.schema, file.name) in facts
    }


def _digest(facts: list[str]) -> str:
    return hashlib.sha256("\n".join(sorted(facts)).encode()).hexdigest()
