"""The node agent's own modules, run in the server's container with its real programs."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import Any

from infra.agent.build import build
from tests.db.server import Server

REPOSITORY = "/tmp/repository"
PYZ = "/tmp/agent.pyz"
MACHINE = {
    "name": "pg-1", "role": "database", "stanza": "wedsync", "scope": "wedsync",
    "database": "wedsync", "bootstrap": "new",
}  # fmt: skip
PLACE = {
    "place": "local", "stack": "test-db", "machines": {"pg-1": "127.0.0.1"},
    "repository": {
        "endpoint": "store-1", "host": "store-1", "port": 8333, "region": "us-east-1",
        "bucket": "wedsync-backups", "uri_style": "path",
    },
}  # fmt: skip
SETTINGS = {
    "PGBACKREST_STANZA": "wedsync",
    "PGBACKREST_PG1_PATH": "/var/lib/postgresql/data",
    "PGBACKREST_PG1_SOCKET_PATH": "/run/postgresql",
    "PGBACKREST_REPO1_PATH": REPOSITORY,
    "PGBACKREST_REPO1_RETENTION_FULL": "2",
    "PGBACKREST_REPO1_BUNDLE": "y",
    "PGBACKREST_REPO1_BLOCK": "y",
    "PGBACKREST_REPO1_CIPHER_TYPE": "aes-256-cbc",
    "PGBACKREST_REPO1_CIPHER_PASS": "of-tests-only",
    "PGBACKREST_COMPRESS_TYPE": "zst",
    "PGBACKREST_JOB_RETRY": "0",
    "PGBACKREST_START_FAST": "y",
    "PGBACKREST_ARCHIVE_TIMEOUT": "20",
    "PGBACKREST_LOG_PATH": "/tmp",
    "PGBACKREST_LOCK_PATH": "/tmp/lock",
}
ENVIRONMENT = [f"{name}={value}" for name, value in SETTINGS.items()]
PRELUDE = f"""
import sys
sys.path.insert(0, {PYZ!r})
import json, logging, time
from pathlib import Path
logging.basicConfig(stream=sys.stderr, level=logging.INFO)
Path("/tmp/machine.json").write_text({json.dumps(MACHINE)!r})
Path("/tmp/place.json").write_text({json.dumps(PLACE)!r})
from infra.agent import facts
machine = facts.machine(Path("/tmp/machine.json"), Path("/tmp/place.json"))
"""


def deliver(server: Server, folder: Path) -> Server:
    """Bring the agent into the container, and let PostgreSQL archive to a repository there."""
    build(folder / "agent.pyz")
    copy = ["docker", "cp", "--quiet", str(folder / "agent.pyz"), f"{server.container}:{PYZ}"]
    subprocess.run(copy, check=True, capture_output=True)
    push = " ".join(["env", *ENVIRONMENT, "pgbackrest archive-push %p"])
    server.execute(f"ALTER SYSTEM SET archive_command = '{push}'")
    server.execute("SELECT pg_reload_conf()")
    return server


def pgbackrest(server: Server, *arguments: str, check: bool = True) -> str:
    return server.run("env", *ENVIRONMENT, "pgbackrest", *arguments, check=check)


def agent(server: Server, script: str) -> Any:
    """Run a script with `machine` in it as postgres, and return the JSON it printed last."""
    said = server.run("env", *ENVIRONMENT, "python3", "-c", PRELUDE + script)
    return json.loads(said.splitlines()[-1])
