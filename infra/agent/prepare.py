"""`prepare`: turn what the place delivered into the files that the servers on this machine read.

Runs as root before every other service, at each boot. Everything to be written is computed first
(`files`), without touching the machine, and then installed; running it again changes nothing that
is already so.

Servers that run already (not at boot) read the changed files anew: see `reload`.
"""

import base64
import binascii
import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path

from infra.agent import certificates, checks, haproxy, paths, reload
from infra.agent.errors import AgentError
from infra.agent.facts import Directory, Machine, Place, Repository
from infra.agent.files import File, install, install_directory

HOSTS_BEGIN = "# guestcomms: begin"
HOSTS_END = "# guestcomms: end"
KEY_BYTES = 32

POOLER_USERS = re.compile(
    rb'"pgbouncer" "SCRAM-SHA-256\$4096:[A-Za-z0-9+/]{22}==\$'
    rb'[A-Za-z0-9+/]{43}=:[A-Za-z0-9+/]{43}="\n'
)

SecretReader = Callable[[str], bytes]
Present = Callable[[Path], bytes]

log = logging.getLogger(__name__)


def prepare(machine: Machine, place: Place) -> int:
    """Bring the machine's directories and files to what they shall be; return how many changed.

    Raises:
        AgentError: a secret is missing or malformed, or a user that shall own a file does not
        exist.
    """
    wanted = [*files(machine, place, _read_secret, _present), _certificate_ends()]
    changed = 0
    for directory in directories(machine):
        if install_directory(directory):
            log.info("directory %s: %s:%s %04o", *_description(directory))
            changed += 1
    for file in wanted:
        if install(file):
            log.info("file %s: %s:%s %04o", *_description(file))
            changed += 1
            reload.note(file.path)
    reload.if_due(machine.role)
    log.info("prepared %s: %d changes", machine.name, changed)
    return changed


def _certificate_ends() -> File:
    delivered = (_read_secret(name).decode("ascii") for name in ("machine.crt", "ca.crt"))
    return certificates.metrics(*delivered)


def directories(machine: Machine) -> list[Directory]:
    """Return the directories that the files below need, then those that machine.json asks for."""
    own = [Directory(paths.TLS, "root", "root", 0o755)]
    if machine.role in ("database", "drill"):
        own += [
            Directory(paths.KEYS, "postgres", "postgres", 0o700),
            Directory(paths.STATE, "postgres", "postgres", 0o755),
            Directory(paths.REPOSITORY_CONFIGURATION.parent, "root", "root", 0o755),
        ]
    if machine.role == "store":
        own.append(Directory(paths.STORE_IDENTITIES.parent, "root", "root", 0o755))
    return own + list(machine.directories)


def files(machine: Machine, place: Place, secret: SecretReader, present: Present) -> Iterator[File]:
    """Yield every file of this machine as it shall be.

    Args:
        machine: what this machine is.
        place: where it stands.
        secret: returns the contents of a delivered secret by its file name.
        present: returns the present contents of a file, nothing where there is none.

    Raises:
        AgentError: a secret is malformed.
    """
    yield File(paths.HOSTS, hosts_file(present(paths.HOSTS), place.machines), "root", "root", 0o644)
    yield from _tls(secret)
    for path, content in place.files.items():
        yield File(Path(path), content.encode(), "root", "root", 0o644)
    if machine.role in ("database", "drill"):
        configuration = repository_configuration(place, _json(secret, "repository.json"))
        yield _postgres(paths.REPOSITORY_CONFIGURATION, configuration, 0o600)
        yield _postgres(paths.KEY_ENCRYPTION_KEY, _key(secret), 0o400)
    if machine.role == "database":
        yield _postgres(paths.LOGINS, secret("logins.json"), 0o400)
        users = pooler_users(present(paths.POOLER_USERS))
        yield _postgres(paths.POOLER_USERS, users, 0o640)
        settings = patroni_settings(machine.database_machines, place.settings)
        yield _postgres(paths.PATRONI_SETTINGS, settings, 0o644)
        members = etcd_members(machine.database_machines)
        yield File(paths.ETCD_MEMBERS, members, "root", "root", 0o644)
    if machine.role == "proxy":
        front_door = haproxy.with_servers(present(paths.PROXY).decode(), place.machines)
        yield File(paths.PROXY, front_door.encode(), "root", "root", 0o644)
        own = haproxy.check_certificate(present(paths.CHECK_CERTIFICATE))
        yield File(paths.CHECK_CERTIFICATE, own, "root", "ssl-cert", 0o640)
    if machine.role == "store":
        identities = store_identities(place.repository.bucket, _json(secret, "s3.json"))
        yield File(paths.STORE_IDENTITIES, identities, "root", "root", 0o600)
    if machine.role == "monitor":
        for name, value in _json(secret, "receivers.json").items():
            checks.text(name, "receivers.json", checks.RECEIVER)
            word = checks.text(value, f"receivers.json {name}", checks.SECRET)
            yield File(paths.RECEIVERS / name, word.encode(), "root", "prometheus", 0o640)


def hosts_file(present: bytes, machines: Mapping[str, str]) -> bytes:
    """Return /etc/hosts with our block of machine addresses at its end, and the rest as it was."""
    kept: list[str] = []
    ours = False
    for line in present.decode().splitlines():
        if line == HOSTS_BEGIN:
            ours = True
        if not ours:
            kept.append(line)
        if line == HOSTS_END:
            ours = False
    block = [f"{address} {name}" for name, address in sorted(machines.items())]
    return ("\n".join([*kept, HOSTS_BEGIN, *block, HOSTS_END]) + "\n").encode()


def patroni_settings(machines: Sequence[str], settings: Mapping[str, object]) -> bytes:
    """Return what Patroni is told beside its own file: where the members are, and `settings`.

    The settings are read once, when a cluster is made. JSON is YAML.
    """
    return json.dumps(
        {
            "bootstrap": {"dcs": settings},
            "etcd3": {"hosts": [f"{name}:2379" for name in machines]},
            "restapi": {"allowlist": ["127.0.0.1", *machines]},
        },
        indent=1,
    ).encode()


def etcd_members(machines: Sequence[str]) -> bytes:
    """Return the members with which etcd makes a cluster; one that exists knows its own."""
    members = ",".join(f"{name}=https://{name}:2380" for name in machines)
    return f"ETCD_INITIAL_CLUSTER={members}\nETCD_INITIAL_CLUSTER_STATE=new\n".encode()


def pooler_users(present: bytes) -> bytes:
    """Return PgBouncer's list of users: its own role, with a verifier that no password matches.

    PgBouncer wants its auth_user in the list. An empty password there would be one that anybody can
    log in with. The keys of this verifier are random instead of derived from a password (RFC 5802),
    so nobody knows one. A list that is of this form stays as it is.
    """
    if POOLER_USERS.fullmatch(present):
        return present
    salt, stored_key, server_key = (
        base64.b64encode(secrets.token_bytes(length)).decode() for length in (16, 32, 32)
    )
    return f'"pgbouncer" "SCRAM-SHA-256$4096:{salt}${stored_key}:{server_key}"\n'.encode()


def repository_configuration(place: Place, keys: Mapping[str, object]) -> bytes:
    """Return pgBackRest's options for the repository and its copy: where they are, and secrets."""
    stores = [place.repository, *([place.repository_copy] if place.repository_copy else [])]
    lines = [
        "# Written by the node agent. Do not edit: `agent.pyz prepare` replaces it.",
        "[global]",
    ]
    for number, store in enumerate(stores, start=1):
        options = {
            "type": "s3",
            "path": "/wedsync",
            "s3-bucket": store.bucket,
            "s3-endpoint": store.endpoint,
            "s3-region": store.region,
            "s3-uri-style": store.uri_style,
            **_entrance(store, keys),
            "storage-verify-tls": "y",
            "cipher-type": "aes-256-cbc",
            "cipher-pass": _word(keys, "cipher_passphrase"),
        }
        lines += [f"repo{number}-{key}={value}" for key, value in options.items()]
    return "\n".join([*lines, ""]).encode()


def _entrance(store: Repository, keys: Mapping[str, object]) -> dict[str, str]:
    """How the machine comes in: with the role it has on AWS, or with delivered keys.

    Source: https://pgbackrest.org/configuration.html, repo-s3-key-type.
    """
    if store.keys == "instance":
        return {"s3-key-type": "auto"}
    return {
        "s3-key": _word(keys, "access_key"),
        "s3-key-secret": _word(keys, "secret_key"),
        "storage-host": store.host,
        "storage-port": str(store.port),
        "storage-ca-file": str(paths.CA_CERTIFICATE),
    }


def store_identities(bucket: str, keys: Mapping[str, object]) -> bytes:
    """Return SeaweedFS's identities: who may do what on the bucket (`weed s3 -config`)."""
    actions = {
        "admin": ["Admin", "Read", "Write", "List", "Tagging"],
        "backup": [f"{action}:{bucket}" for action in ("Read", "Write", "List", "Tagging")],
        "drill": [f"{action}:{bucket}" for action in ("Read", "List")],
    }
    return json.dumps(
        {
            "identities": [
                {"name": name, "credentials": [_credential(keys, name)], "actions": allowed}
                for name, allowed in actions.items()
            ]
        },
        indent=1,
    ).encode()


def _word(keys: Mapping[str, object], key: str) -> str:
    return checks.text(keys.get(key), f"repository.json {key}", checks.SECRET)


def _credential(keys: Mapping[str, object], name: str) -> dict[str, str]:
    pair = checks.mapping(keys.get(name), f"s3.json {name}")
    return {
        "accessKey": checks.text(
            pair.get("access_key"), f"s3.json {name}.access_key", checks.SECRET
        ),
        "secretKey": checks.text(
            pair.get("secret_key"), f"s3.json {name}.secret_key", checks.SECRET
        ),
    }


def _tls(secret: SecretReader) -> Iterator[File]:
    certificate, key = secret("machine.crt"), secret("machine.key")
    yield File(paths.CA_CERTIFICATE, secret("ca.crt"), "root", "root", 0o644)
    yield File(paths.CERTIFICATE, certificate, "root", "root", 0o644)
    # The servers' users are members of ssl-cert.
    yield File(paths.PRIVATE_KEY, key, "root", "ssl-cert", 0o640)
    joined = certificate.rstrip(b"\n") + b"\n" + key
    yield File(paths.CERTIFICATE_AND_KEY, joined, "root", "ssl-cert", 0o640)


def _key(secret: SecretReader) -> bytes:
    """Return the key in standard base64, whichever of the two alphabets it came in."""
    encoded = secret("key_encryption_key").strip().translate(bytes.maketrans(b"-_", b"+/"))
    try:
        key = base64.b64decode(encoded + b"=" * (-len(encoded) % 4), validate=True)
    except binascii.Error as error:
        raise AgentError("key_encryption_key is not base64; export it again from escrow") from error
    if len(key) != KEY_BYTES:
        raise AgentError(f"key_encryption_key holds {len(key)} bytes, AES-256 needs {KEY_BYTES}")
    return base64.b64encode(key) + b"\n"


def _postgres(path: Path, content: bytes, mode: int) -> File:
    return File(path, content, "postgres", "postgres", mode)


def _json(secret: SecretReader, name: str) -> Mapping[str, object]:
    try:
        return checks.mapping(json.loads(secret(name)), name)
    except ValueError as error:
        raise AgentError(f"{name} is not valid JSON; the place must deliver it again") from error


def _present(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _read_secret(name: str) -> bytes:
    path = paths.SECRETS / name
    try:
        return path.read_bytes()
    except OSError as error:
        raise AgentError(f"secret {path}: {error.strerror}; the place must deliver it") from error


def _description(made: File | Directory) -> tuple[Path, str, str, int]:
    return made.path, made.owner, made.group, made.mode
