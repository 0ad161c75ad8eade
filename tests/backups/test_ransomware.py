"""Somebody has the backup keys and deletes everything: the locked, versioned bucket gives it back.

A real SeaweedFS, set up with the place's own bucket script and identities, and a real pgBackRest.
"""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path

import pytest
from guestcomms import paths

from infra.agent.prepare import store_identities
from infra.machine.render import render
from infra.trust.certificates import make_authority, make_certificate
from tests.db.server import Database, Server, running_server
from tests.waiting import wait_until

BUCKET = "wedsync-backups"
KEYS = {
    name: {"access_key": f"{name}-access", "secret_key": f"{name}-of-tests-only"}
    for name in ("admin", "backup", "drill")
}
PGBACKREST = {
    "STANZA": "wedsync",
    "PG1_PATH": "/var/lib/postgresql/data",
    "PG1_SOCKET_PATH": "/run/postgresql",
    "REPO1_TYPE": "s3",
    "REPO1_PATH": "/wedsync",
    "REPO1_S3_BUCKET": BUCKET,
    "REPO1_S3_ENDPOINT": "store-1",
    "REPO1_S3_REGION": "us-east-1",
    "REPO1_S3_URI_STYLE": "path",
    "REPO1_S3_KEY": KEYS["backup"]["access_key"],
    "REPO1_S3_KEY_SECRET": KEYS["backup"]["secret_key"],
    "REPO1_STORAGE_HOST": "store-1",
    "REPO1_STORAGE_PORT": "8333",
    "REPO1_STORAGE_CA_FILE": "/etc/guestcomms/tls/ca.crt",
    "REPO1_CIPHER_TYPE": "aes-256-cbc",
    "REPO1_CIPHER_PASS": "of-tests-only",
    "REPO1_BUNDLE": "y",
    "REPO1_RETENTION_FULL": "2",
    "COMPRESS_TYPE": "zst",
    "START_FAST": "y",
    "LOG_PATH": "/tmp",
    "LOCK_PATH": "/tmp/lock",
}
ENVIRONMENT = [f"PGBACKREST_{name}={value}" for name, value in PGBACKREST.items()]
COPY = "/var/lib/postgresql/copy"
WEED = (
    "weed server -dir=/var/lib/seaweedfs -ip=127.0.0.1 -ip.bind=127.0.0.1"
    " -master.telemetry=false -master.volumeSizeLimitMB=64 -volume.max=0"
    " -s3 -s3.port=8333 -s3.port.lance=0 -s3.port.iceberg=0 -s3.iam=false"
    " -s3.config=/etc/seaweedfs/s3.json -s3.cert.file=/etc/seaweedfs/store.crt"
    " -s3.key.file=/etc/seaweedfs/store.key > /tmp/weed.log 2>&1"
)
SUSPENDED = "<VersioningConfiguration><Status>Suspended</Status></VersioningConfiguration>"
NO_LOCK = "<ObjectLockConfiguration><ObjectLockEnabled>Enabled</ObjectLockEnabled></ObjectLockConfiguration>"  # noqa: E501
BYPASS = "x-amz-bypass-governance-retention: true"
GOVERNANCE = "<Retention><Mode>GOVERNANCE</Mode><RetainUntilDate>{}</RetainUntilDate></Retention>"


def as_root(server: Server, script: str, *, check: bool = True) -> str:
    done = subprocess.run(
        ["docker", "exec", server.container, "sh", "-c", script],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert not check or done.returncode == 0, done.stderr + done.stdout
    return done.stdout


def deliver(server: Server, folder: Path) -> None:
    """The store's files where a machine has them, and its program."""
    authority = make_authority("tests", 2)
    store = make_certificate(authority, "store-1", ["store-1"], ["127.0.0.1"], 2)
    values = {"bucket": BUCKET, "object_lock_days": 1}
    files = {
        "/etc/guestcomms/tls/ca.crt": authority.certificate,
        "/etc/guestcomms/secrets/s3.json": json.dumps(KEYS),
        "/etc/seaweedfs/s3.json": store_identities(BUCKET, KEYS).decode(),
        "/etc/seaweedfs/store.crt": store.certificate,
        "/etc/seaweedfs/store.key": store.private_key,
        "/usr/local/sbin/guestcomms-bucket": render(
            "store/usr/local/sbin/guestcomms-bucket", values
        ),
    }
    as_root(
        server,
        "mkdir -p /etc/guestcomms/tls /etc/guestcomms/secrets /etc/seaweedfs /var/lib/seaweedfs"
        " && echo 127.0.0.1 store-1 >> /etc/hosts",
    )
    copies = [(paths.VENV / "weed", "/usr/local/bin/weed")]
    for number, (target, content) in enumerate(files.items()):
        (folder / str(number)).write_text(content)
        copies.append((folder / str(number), target))
    for source, target in copies:
        copy = ["docker", "cp", "--quiet", str(source), f"{server.container}:{target}"]
        subprocess.run(copy, check=True, capture_output=True)
    as_root(server, "chmod -R a+rX /etc/guestcomms /etc/seaweedfs /usr/local/bin")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """PostgreSQL that archives to a store beside it."""
    with running_server({"archive_mode": "on"}) as running:
        deliver(running, tmp_path_factory.mktemp("store"))
        subprocess.run(["docker", "exec", "-d", running.container, "sh", "-c", WEED], check=True)
        make = "sh /usr/local/sbin/guestcomms-bucket"
        wait_until(
            lambda: (
                as_root(running, f"{make} > /tmp/bucket.log 2>&1 && echo made", check=False)
                == "made\n"
            ),
            60,
            lambda: as_root(running, "tail -5 /tmp/bucket.log /tmp/weed.log", check=False),
        )
        as_root(running, make)  # again: it changes nothing
        push = " ".join(["env", *ENVIRONMENT, "pgbackrest archive-push %p"])
        running.execute(f"ALTER SYSTEM SET archive_command = '{push}'")
        running.execute("SELECT pg_reload_conf()")
        yield running


def pgbackrest(server: Server, *arguments: str) -> str:
    return server.run("env", *ENVIRONMENT, "pgbackrest", *arguments)


def s3(server: Server, who: str, *arguments: str) -> tuple[int, str]:
    """A signed request: HTTP status and answer."""
    pair = KEYS[who]
    options = " ".join(f"'{one}'" for one in arguments)
    said = as_root(
        server,
        "curl -s -w '\\n%{http_code}' --cacert /etc/guestcomms/tls/ca.crt"
        f" --aws-sigv4 aws:amz:us-east-1:s3 --user {pair['access_key']}:{pair['secret_key']}"
        f" {options}",
    )
    body, _, status = said.rpartition("\n")
    return int(status), body


def url(path: str = "") -> str:
    return f"https://store-1:8333/{BUCKET}{path}"


def versions(server: Server) -> set[tuple[str, str]]:
    """Every version of every object: key and version."""
    found: set[tuple[str, str]] = set()
    _, listing = s3(server, "admin", url("?versions=&max-keys=1000"))
    for part in listing.split("<Version>")[1:]:
        key = part.split("<Key>")[1].split("</Key>")[0]
        found.add((key, part.split("<VersionId>")[1].split("</VersionId>")[0]))
    return found


def test_everything_deleted_with_the_backup_keys_comes_back(server: Server) -> None:
    pgbackrest(server, "stanza-create")
    database = Database(server, "postgres")
    database.execute("CREATE TABLE public.guests AS SELECT generate_series(1, 1000) AS n")
    pgbackrest(server, "backup", "--type=full")
    database.execute("INSERT INTO public.guests SELECT generate_series(1001, 3001)")
    database.execute("SELECT pg_create_restore_point('before_the_attack')")
    segment = str(database.value("SELECT pg_walfile_name(pg_switch_wal())"))
    wait_until(partial(is_archived, database, segment))
    before = versions(server)
    moment = datetime.now(UTC) + timedelta(seconds=1)
    wait_until(lambda: datetime.now(UTC) > moment + timedelta(seconds=1))

    pgbackrest(server, "stop")
    pgbackrest(server, "stanza-delete", "--force")
    pgbackrest(server, "start")
    assert "missing stanza path" in pgbackrest(server, "info")
    assert before <= versions(server)  # what was deleted lies beneath a marker

    at = f"--repo-target-time={moment:%Y-%m-%d %H:%M:%S}+00"
    assert "status: ok" in pgbackrest(server, "info", "--repo=1", at)
    pgbackrest(
        server, "restore", "--repo=1", at, f"--pg1-path={COPY}", "--type=name",
        "--target=before_the_attack", "--target-action=promote", "--archive-mode=off",
    )  # fmt: skip
    start = (
        f"pg_ctl -D {COPY} -w -l /tmp/copy.log"
        f" -o '-p 5499 -c listen_addresses= -c unix_socket_directories={COPY}"
        " -c shared_preload_libraries=' start"
    )
    path = "PATH=/usr/lib/postgresql/17/bin:/usr/bin:/bin"
    server.run("env", *ENVIRONMENT, path, "sh", "-c", start)
    try:
        psql = ("psql", "-h", COPY, "-p", "5499", "-d", "postgres", "-Atc")
        wait_until(lambda: server.run(*psql, "SELECT pg_is_in_recovery()") == "f\n", 60)
        assert server.run(*psql, "SELECT count(*) FROM guests") == "3001\n"
    finally:
        server.run("env", path, "pg_ctl", "-D", COPY, "-m", "immediate", "stop")


def is_archived(database: Database, segment: str) -> bool:
    query = f"SELECT last_archived_wal >= '{segment}' FROM pg_stat_archiver"
    return database.value(query) is True


def test_the_backup_keys_can_neither_delete_versions_nor_loosen_the_lock(server: Server) -> None:
    assert s3(server, "backup", "-X", "PUT", "-d", "kept", url("/wedsync/kept"))[0] == 200
    key, version = next(one for one in versions(server) if one[0].endswith("kept"))
    held = url(f"/{key}?versionId={version}")
    soon = GOVERNANCE.format((datetime.now(UTC) + timedelta(minutes=1)).strftime("%FT%TZ"))
    refused = {
        "delete a version": ("-X", "DELETE", held),
        "… and say that it may": ("-X", "DELETE", "-H", BYPASS, held),
        "end versioning": ("-X", "PUT", "-d", SUSPENDED, url("?versioning=")),
        "end the default lock": ("-X", "PUT", "-d", NO_LOCK, url("?object-lock=")),
        "shorten a lock": ("-X", "PUT", "-d", soon, url(f"/{key}?retention=&versionId={version}")),
        "delete the bucket": ("-X", "DELETE", url()),
    }  # fmt: skip
    said = {what: s3(server, "backup", *request)[0] for what, request in refused.items()}
    # SeaweedFS says 409 of a bucket that has a lock, whoever asks.
    assert said == dict.fromkeys(refused, 403) | {"end versioning": 409}
    assert s3(server, "drill", "-X", "PUT", "-d", "x", url("/intruder"))[0] == 403
    # Nor can whoever holds the store's own keys: compliance means nobody.
    assert s3(server, "admin", "-X", "DELETE", held)[0] == 403
    assert s3(server, "admin", held) == (200, "kept")
    assert "COMPLIANCE" in s3(server, "admin", url("?object-lock="))[1]
    assert "Enabled" in s3(server, "admin", url("?versioning="))[1]


def test_without_the_lock_a_version_can_be_deleted(server: Server) -> None:
    """The control: it is the lock that refuses, not SeaweedFS that cannot."""
    bucket = "https://store-1:8333/unlocked"
    enabled = SUSPENDED.replace("Suspended", "Enabled")
    assert s3(server, "admin", "-X", "PUT", bucket)[0] == 200
    assert s3(server, "admin", "-X", "PUT", "-d", enabled, f"{bucket}?versioning=")[0] == 200
    assert s3(server, "admin", "-X", "PUT", "-d", "gone", f"{bucket}/gone")[0] == 200
    _, listing = s3(server, "admin", f"{bucket}?versions=")
    version = listing.split("<VersionId>")[1].split("</VersionId>")[0]
    assert s3(server, "admin", "-X", "DELETE", f"{bucket}/gone?versionId={version}")[0] == 204
    assert "<Version>" not in s3(server, "admin", f"{bucket}?versions=")[1]
