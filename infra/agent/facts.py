"""What a machine is (machine.json, from user-data) and where it stands (place.json)."""

import json
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from infra.agent import checks, paths
from infra.agent.errors import AgentError

ROLES = ("database", "proxy", "store", "monitor", "drill")


@dataclass(frozen=True)
class Directory:
    """A directory that `prepare` makes, or whose owner and mode it corrects."""

    path: Path
    owner: str
    group: str
    mode: int


@dataclass(frozen=True)
class Machine:
    """What this machine is. `listens` are TCP ports that answer when it is healthy.

    `database_machines` are those of the cluster, on machines whose agent asks them.
    """

    name: str
    role: str
    stanza: str
    scope: str
    database: str
    bootstrap: str
    database_machines: tuple[str, ...]
    directories: tuple[Directory, ...]
    listens: tuple[int, ...]


@dataclass(frozen=True)
class Repository:
    """The S3 bucket that holds backups and archived WAL."""

    endpoint: str
    host: str
    port: int
    region: str
    bucket: str
    uri_style: str
    keys: str
    """`delivered` with the machine's secrets, or `instance`: those of its role on AWS."""


@dataclass(frozen=True)
class Place:
    """Where the machines are: addresses by machine name, and the backup repository."""

    place: str
    stack: str
    machines: Mapping[str, str]
    repository: Repository
    settings: Mapping[str, object]
    """Patroni's dynamic configuration for a cluster that is yet to be made."""
    repository_copy: Repository | None = None
    """The repository's copy elsewhere, for the machine that proves restores."""
    files: Mapping[str, str] = field(default_factory=dict)
    """Path → content of the files of this machine that are not in its user-data."""


def read_json(path: Path) -> Mapping[str, object]:
    """Return the JSON object in `path`.

    Raises:
        AgentError: the file is missing, unreadable or not a JSON object.
    """
    try:
        return checks.mapping(json.loads(path.read_bytes()), str(path))
    except OSError as error:
        raise AgentError(
            f"cannot read {path} ({error.strerror}); it comes with the machine"
        ) from error
    except ValueError as error:
        raise AgentError(f"{path} is not valid JSON: {error}") from error


DATABASE_NAME = re.compile(r"pg-([0-9]+)\Z")


def database_machines(addresses: Mapping[str, object]) -> tuple[str, ...]:
    """Return the database machines among the machines of a place, in the order of their numbers."""
    found = [match for name in addresses if (match := DATABASE_NAME.match(name))]
    return tuple(match[0] for match in sorted(found, key=lambda match: int(match[1])))


def machine(path: Path = paths.MACHINE_FILE, place_path: Path = paths.PLACE_FILE) -> Machine:
    """Return the checked contents of machine.json, and who the database machines are now.

    Those come from the place: it tells of a new one without making the others anew.

    Raises:
        AgentError: names the key that is wrong.
    """
    facts = read_json(path)
    role = checks.one_of(facts.get("role"), "role", ROLES)
    others = place(place_path).machines if role in ("database", "drill") else {}
    return Machine(
        name=checks.text(facts.get("name"), "name", checks.MACHINE_NAME),
        role=role,
        stanza=checks.text(facts.get("stanza"), "stanza", checks.IDENTIFIER),
        scope=checks.text(facts.get("scope"), "scope", checks.IDENTIFIER),
        database=checks.text(facts.get("database"), "database", checks.IDENTIFIER),
        bootstrap=checks.one_of(facts.get("bootstrap"), "bootstrap", ("new", "restore")),
        database_machines=database_machines(others),
        directories=tuple(
            _directory(checks.mapping(entry, "directories"))
            for entry in checks.sequence(facts.get("directories", []), "directories")
        ),
        listens=tuple(
            checks.number(port, "listens", 1, 65535)
            for port in checks.sequence(facts.get("listens", []), "listens")
        ),
    )


def place(path: Path = paths.PLACE_FILE) -> Place:
    """Return the checked contents of place.json.

    Raises:
        AgentError: names the key that is wrong.
    """
    facts = read_json(path)
    machines = checks.mapping(facts.get("machines"), "machines")
    copy = facts.get("repository_copy")
    return Place(
        place=checks.one_of(facts.get("place"), "place", ("local", "aws")),
        stack=checks.text(facts.get("stack"), "stack", checks.HOST),
        machines={
            checks.text(name, "machines", checks.MACHINE_NAME): checks.address(
                address, f"machines.{name}"
            )
            for name, address in machines.items()
        },
        repository=_repository(checks.mapping(facts.get("repository"), "repository")),
        settings=checks.mapping(facts.get("settings", {}), "settings"),
        repository_copy=_repository(checks.mapping(copy, "repository_copy")) if copy else None,
        files={
            checks.text(file, "files", checks.DELIVERED): str(content)
            for file, content in checks.mapping(facts.get("files", {}), "files").items()
        },
    )


def _directory(facts: Mapping[str, object]) -> Directory:
    return Directory(
        path=Path(checks.text(facts.get("path"), "directories.path", checks.PATH)),
        owner=checks.text(facts.get("owner"), "directories.owner", checks.UNIX_NAME),
        group=checks.text(facts.get("group"), "directories.group", checks.UNIX_NAME),
        mode=int(checks.text(facts.get("mode"), "directories.mode", checks.FILE_MODE), 8),
    )


def _repository(facts: Mapping[str, object]) -> Repository:
    return Repository(
        endpoint=checks.text(facts.get("endpoint"), "repository.endpoint", checks.HOST),
        host=checks.text(facts.get("host"), "repository.host", checks.HOST),
        port=checks.number(facts.get("port"), "repository.port", 1, 65535),
        region=checks.text(facts.get("region"), "repository.region", checks.REGION),
        bucket=checks.text(facts.get("bucket"), "repository.bucket", checks.BUCKET),
        uri_style=checks.one_of(facts.get("uri_style"), "repository.uri_style", ("path", "host")),
        keys=checks.one_of(
            facts.get("keys", "delivered"), "repository.keys", ("delivered", "instance")
        ),
    )
