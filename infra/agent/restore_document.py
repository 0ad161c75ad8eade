"""The document of a restore of the cluster: kept by the database that it made, or left alone."""

from collections.abc import Mapping
from datetime import datetime
from typing import Any

import psycopg
from psycopg.types.json import Jsonb

from infra.agent import checks, database, versions
from infra.agent.errors import AgentError
from infra.agent.evidence import document
from infra.agent.facts import Machine


def write(machine: Machine, restore_id: str, said: Mapping[str, Any]) -> Mapping[str, object]:
    """Keep the document of a restore that is done or undone; again replaces it.

    Args:
        machine: which leads.
        restore_id: the restore.
        said: verdict (restored or undone), started_at, and stages, each with name, seconds and
            outcome; whatever else there is becomes part of the document.

    Returns:
        The document.

    Raises:
        AgentError: what is said is not that, or pgBackRest does not tell its version.
        psycopg.Error: the database refuses.
    """
    try:
        verdict = checks.one_of(said["verdict"], "verdict", ("restored", "undone"))
        began = datetime.fromisoformat(str(said["started_at"]))
        stages = [checks.mapping(one, "stage") for one in checks.sequence(said["stages"], "stages")]
        worked = sum(float(str(stage["seconds"])) for stage in stages)
    except (KeyError, TypeError, ValueError) as error:
        raise AgentError(f"that is no restore: {error!r}") from error
    with psycopg.connect(database.local_agent(machine.database), autocommit=True) as connection:
        written = document(
            "cluster_restore", node=machine.name, versions=versions.here(connection),
            began=began, verdict=verdict, figures={"stages_seconds": round(worked, 2)},
            findings=[],
            **{name: said[name] for name in said if name not in ("started_at", "verdict")},
        )  # fmt: skip
        if verdict == "undone":
            connection.execute("SELECT internal.document_undone_restore(%s)", [Jsonb(written)])
        else:
            connection.execute(
                "SELECT internal.document_cluster_restore(%s, %s)", [restore_id, Jsonb(written)]
            )
    return written
