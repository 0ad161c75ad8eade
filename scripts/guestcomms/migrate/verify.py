"""The last stage: what every schema must look like after a run, whoever wrote the migration."""

from __future__ import annotations

from dataclasses import dataclass

from guestcomms import db
from guestcomms.migrate.project import Project


@dataclass(frozen=True)
class Problem:
    """Something in the schema that must not be so, and the way out."""

    what: str
    name: str
    remedy: str

    def __str__(self) -> str:
        return f"{self.what} {self.name}: {self.remedy}"


_RULES: tuple[tuple[str, str, str], ...] = (
    (
        "invalid index",
        "drop it with DROP INDEX CONCURRENTLY, then run its migration again",
        """
        SELECT index.indexrelid::regclass::text
        FROM pg_index AS index JOIN pg_class AS relation ON relation.oid = index.indexrelid
        WHERE NOT index.indisvalid AND relation.relnamespace = ANY (%s::regnamespace[])
        """,
    ),
    (
        "table without forced row security",
        "ENABLE and FORCE ROW LEVEL SECURITY in the migration that makes it",
        """
        SELECT relation.oid::regclass::text
        FROM pg_class AS relation
        WHERE relation.relkind IN ('r', 'p') AND relation.relnamespace = ANY (%s::regnamespace[])
            AND NOT relation.relispartition
            AND NOT (relation.relrowsecurity AND relation.relforcerowsecurity)
            AND EXISTS (
                SELECT FROM pg_attribute AS attribute
                WHERE attribute.attrelid = relation.oid AND NOT attribute.attisdropped
                    AND attribute.attname = 'organization_id'
            )
        """,
    ),
    (
        "tenant table without a policy",
        "write its file in policies/",
        """
        SELECT relation.oid::regclass::text
        FROM pg_class AS relation
        WHERE relation.relkind IN ('r', 'p') AND relation.relnamespace = ANY (%s::regnamespace[])
            AND relation.relrowsecurity AND NOT relation.relispartition
            AND NOT EXISTS (SELECT FROM pg_policy WHERE pg_policy.polrelid = relation.oid)
        """,
    ),
    (
        # A query of a partition itself meets no policy: those are the parent's.
        "partition with grants",
        "REVOKE ALL on it; rights are given on the partitioned table",
        """
        SELECT DISTINCT relation.oid::regclass::text
        FROM pg_class AS relation CROSS JOIN aclexplode(relation.relacl) AS acl
        WHERE relation.relispartition AND relation.relnamespace = ANY (%s::regnamespace[])
            AND acl.grantee <> relation.relowner
        """,
    ),
    (
        "view that reads as its owner",
        "make it WITH (security_invoker = true)",
        """
        SELECT relation.oid::regclass::text
        FROM pg_class AS relation
        WHERE relation.relkind = 'v' AND relation.relnamespace = ANY (%s::regnamespace[])
            AND NOT coalesce(relation.reloptions, '{}')
            && '{security_invoker=true, security_invoker=on}'
        """,
    ),
    (
        "function that PUBLIC may execute",
        "REVOKE ALL … FROM PUBLIC in its file",
        """
        SELECT routine.oid::regprocedure::text
        FROM pg_proc AS routine
        WHERE routine.pronamespace = ANY (%s::regnamespace[]) AND EXISTS (
            SELECT
            FROM aclexplode(coalesce(routine.proacl, acldefault('f', routine.proowner))) AS acl
            WHERE acl.grantee = 0
        )
        """,
    ),
)

_UNVALIDATED = """
SELECT pg_constraint.conname::text, pg_constraint.conrelid::regclass::text
FROM pg_constraint
WHERE NOT pg_constraint.convalidated AND pg_constraint.connamespace = ANY (%s::regnamespace[])
"""

SCHEMAS = ["public", "internal"]


def problems(connection: db.Connection, project: Project) -> list[Problem]:
    """What is wrong with the schema; reads only."""
    found = [
        Problem(what, str(row[0]), remedy)
        for what, remedy, query in _RULES
        for row in connection.execute(query.encode(), (SCHEMAS,)).fetchall()
    ]
    newest = _newest_text(project)
    for name, table in connection.execute(_UNVALIDATED, (SCHEMAS,)).fetchall():
        # NOT VALID and VALIDATE are two migrations: only the newest may be half way.
        if name not in newest:
            remedy = "write the migration with ALTER TABLE … VALIDATE CONSTRAINT"
            found.append(Problem("unvalidated constraint", f"{name} of {table}", remedy))
    return found


def _newest_text(project: Project) -> str:
    migrations = project.migrations()
    return migrations[-1].file.read_text(encoding="utf-8") if migrations else ""
