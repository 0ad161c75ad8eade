"""pgBackRest: its commands as argument lists, and what `info --output=json` says of a repository.

Neither exit status nor output of `backup` is believed: `info` ends with 0 even when the store
cannot be reached (the error is then inside its answer), so decisions rest on the parsed data alone.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path

from infra.agent import checks
from infra.agent.errors import AgentError
from infra.agent.run import Outcome, one_line, run

LABEL = re.compile(r"[0-9]{8}-[0-9]{6}F(_[0-9]{8}-[0-9]{6}[DI])?\Z")
LSN = re.compile(r"[0-9A-F]{1,8}/[0-9A-F]{1,8}\Z")
STORE_CODE = re.compile(r"<Code>([A-Za-z]{1,60})</Code>")
TARGETS = {
    "name": re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}\Z"),
    "time": re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9:]{8}\.[0-9]{6}\+00\Z"),
    "lsn": LSN,
    "xid": re.compile(r"[0-9]{1,18}\Z"),
}
"""What a recovery may be told to stop at, by kind."""
WAL_SEGMENT = re.compile(r"[0-9A-F]{24}\Z")
ARCHIVE_ID = re.compile(r"[0-9]{1,3}-[0-9]{1,9}\Z")
TYPES = {"full": "full", "incremental": "incr", "differential": "diff"}  # ledger → pgBackRest

# Exit statuses of failures that may be over at the next attempt: of the way to the repository, of
# another pgBackRest that still runs, of a database that just changed hands. Every other one stays
# (a stop file, a wrong option, a full disk's consequences) until somebody does something about it.
# Source: https://github.com/pgbackrest/pgbackrest/blob/main/src/build/error/error.yaml
MAY_PASS = {
    39: "protocol",  # the store answered something else, or hung up
    41: "file-open",  # a file of the repository and its copy, each for another reason
    42: "file-read",  # no answer from the store in time
    49: "host-connect",
    50: "lock-acquire",
    56: "db-connect",  # also: no primary to be found
    57: "db-query",
    63: "term",  # it was told to stop
    64: "file-write",
    82: "archive-timeout",  # the WAL of the backup did not arrive in time
    101: "service",  # the store is not able to answer now
}

# As a cause inside another error, such as [HostConnectError] in one that no repository is valid.
CAUSE = re.compile(r"\[([A-Z][A-Za-z]+)Error\]([^\n]*)")

# Codes of `status` in the answer of `info`.
STATUS_OK = 0
STATUS_MISSING_PATH = 1
STATUS_NO_BACKUP = 2
STATUS_MISSING_DATA = 3

LOOK_TIMEOUT = 60.0  # seconds for a command that only reads; pgBackRest retries inside it
PUSH_TIMEOUT = 180.0  # seconds for one segment; pgBackRest's own archive-timeout is 120
LIST_TIMEOUT = 1800.0  # a store lists a thousand files per answer, an archive has 3000 a day
_COMMON = ("--log-level-console=off", "--log-level-stderr=warn")
_LOOK = ("--io-timeout=5", "--output=json")


@dataclass(frozen=True)
class Backup:
    """A backup that the repository holds. Sizes in bytes.

    Attributes:
        size: of the database it restores.
        stored: what it added to the repository (compressed, encrypted, changed blocks only).
        references: labels of those whose files it needs too.
        page_errors: True or False as found by page checksums, None where they were not checked.
    """

    label: str
    type: str
    backup_id: str | None
    page_errors: bool | None
    started_at: datetime
    completed_at: datetime
    size: int
    stored: int
    lsn_start: str
    lsn_stop: str
    wal_start: str
    wal_stop: str
    archive_id: str
    references: tuple[str, ...] = ()


@dataclass(frozen=True)
class Stanza:
    """What `info` says: status code and message of the repository, backups from old to new.

    Attributes:
        archive_id: the present system's place in the archive (`17-1`), empty where there is none.
        encrypted: whether the repository is.
    """

    code: int
    message: str
    backups: tuple[Backup, ...]
    archive_id: str = ""
    encrypted: bool = False


@dataclass(frozen=True)
class Stored:
    """A file of the repository: bytes, and when it was stored."""

    size: int
    at: datetime


class Holding(Enum):
    """Whether a repository holds a stanza."""

    NOTHING = "nothing"
    STANZA = "stanza"
    UNREADABLE = "unreadable"  # something is there, but `info` cannot make sense of it


def position(lsn: str) -> int:
    """Return a position of the write-ahead log (high/low, hexadecimal) as a number of bytes."""
    high, low = lsn.split("/")
    return (int(high, 16) << 32) + int(low, 16)


def newest_before(
    backups: Sequence[Backup], moment: datetime | None, lsn: int | None
) -> Backup | None:
    """Return the newest of `backups` that is whole before a moment, or else before a position.

    pgBackRest itself takes the newest of all for a name or a transaction, and ends with 0.
    """
    if moment is not None:
        # Its times are whole seconds: the stop must lie in an earlier one than the target.
        fitting = [one for one in backups if one.completed_at < moment.replace(microsecond=0)]
    elif lsn is not None:
        fitting = [one for one in backups if position(one.lsn_stop) <= lsn]
    else:
        fitting = []
    return max(fitting, key=lambda one: one.completed_at, default=None)


def command(verb: str, stanza: str, *options: str) -> list[str]:
    """Return the argument list of a pgBackRest command on `stanza`; complaints go to stderr."""
    return ["pgbackrest", f"--stanza={stanza}", *_COMMON, *options, verb]


def background(verb: str, stanza: str, *options: str) -> list[str]:
    """Return the argument list of a command that leaves the processors to the database beside it.

    pgBackRest has no option for its priority; its workers inherit that of `nice`.
    """
    return ["nice", "-n", "19", *command(verb, stanza, *options)]


def info(stanza: str) -> Stanza:
    """Ask the repository what it holds of `stanza`.

    Raises:
        AgentError: pgBackRest did not answer, or its answer is not understood. An unreachable store
        is not
            an error here: it is a `Stanza` with another status code.
    """
    return parse_info(_json_of(run(command("info", stanza, *_LOOK), timeout=LOOK_TIMEOUT)), stanza)


def reason(said: str) -> str:
    """Return the reason in what pgBackRest said, as one line.

    About a failed request it prints the whole exchange with the store: what counts is the sentence
    before it and the store's own error code.
    """
    error = said[max(said.rfind("ERROR:"), 0) :]
    sentence, exchange, _ = error.partition("*** Path/Query ***")
    code = STORE_CODE.search(error) if exchange else None
    return one_line(f"{sentence} {code[1] if code else ''}")


def may_pass(status: int) -> bool:
    """Whether a pgBackRest that ended with exit `status` may well succeed at another attempt.

    Negative is the number of a signal (`subprocess`): somebody else ended it.
    """
    return status < 0 or status in MAY_PASS


def store_was_away(said: str) -> bool:
    """Whether the last failure that `archive-get` told of may be over at the next attempt.

    Its exit status does not say: it is the same for a segment that is damaged and for one that did
    not come. The cause that it names does.
    """
    causes = CAUSE.findall(said)
    passing = {"".join(map(str.capitalize, name.split("-"))) for name in MAY_PASS.values()}
    return bool(causes) and causes[-1][0] in passing


def complaint(said: str) -> str:
    """Return the last cause that pgBackRest named in what it said, as one line."""
    cause, detail = CAUSE.findall(said)[-1]
    return one_line(f"{cause}Error {detail}")


def succeed(verb: str, stanza: str, *options: str, timeout: float) -> None:
    """Run a pgBackRest command for whose effect the caller looks afterwards.

    Raises:
        AgentError: it failed; with its reason.
    """
    outcome = run(command(verb, stanza, *options), timeout=timeout)
    if outcome.status != 0:
        raise AgentError(
            f"pgbackrest {verb} failed with status {outcome.status}: {reason(outcome.stderr)}"
        )


def holding(stanza: str) -> tuple[Holding, Stanza]:
    """Say whether the repository holds `stanza`: look at `info` and at the files themselves.

    Raises:
        AgentError: the store cannot be reached, so nothing is known.
    """
    said = info(stanza)
    listed = _lists(stanza, "archive") or _lists(stanza, "backup")
    if said.code in (STATUS_OK, STATUS_NO_BACKUP, STATUS_MISSING_DATA):
        return Holding.STANZA, said
    if listed:
        return Holding.UNREADABLE, said
    if said.code == STATUS_MISSING_PATH:
        return Holding.NOTHING, said
    raise AgentError(f"the backup repository does not answer: {said.message}")


def archived(stanza: str, archive_id: str) -> dict[str, Stored]:
    """List the files in the archive of one system, by path below it.

    Raises:
        AgentError: the store cannot be reached, or its answer is not understood.
    """
    return files(f"archive/{stanza}/{archive_id}")


def files(path: str) -> dict[str, Stored]:
    """List the files in a folder of the repository and those below it, by path below it.

    Raises:
        AgentError: the store cannot be reached, or its answer is not understood.
    """
    return parse_listing(_listing(path, "--recurse", timeout=LIST_TIMEOUT))


def not_archived(stanza: str, names: Sequence[str]) -> list[str]:
    """Return those of `names` that the archive of the present system lacks, in their order.

    Args:
        stanza: the stanza.
        names: of WAL segments and history files.

    Raises:
        AgentError: the store cannot be reached, or its answer is not understood.
    """
    if not names:
        return []
    said = info(stanza)
    if not said.archive_id:
        raise AgentError(f"the backup repository has no archive of this system: {said.message}")
    place = f"archive/{stanza}/{said.archive_id}"
    # Segments lie in folders of 256, with a checksum behind their names; history files beside them.
    folders = sorted({"" if name.endswith(".history") else f"/{name[:16]}" for name in names})
    stored = {
        name.partition("-")[0]
        for folder in folders
        for name in parse_listing(_listing(f"{place}{folder}", timeout=LOOK_TIMEOUT))
    }
    return [name for name in names if name not in stored]


def push(stanza: str, segment: Path) -> None:
    """Put a WAL file into the archive, and wait until it is there; there already is no error.

    Raises:
        AgentError: the store cannot be reached, or has another content for it.
    """
    pushing = [*command("archive-push", stanza, "--no-archive-async"), str(segment)]
    done = run(pushing, timeout=PUSH_TIMEOUT)
    if done.status != 0:
        raise AgentError(f"{segment.name} cannot be archived: {reason(done.stderr)}")


def parse_listing(listing: Mapping[str, object]) -> dict[str, Stored]:
    """Return the files in the JSON answer of `repo-ls`, by path.

    Raises:
        AgentError: a part is missing or has an unexpected form.
    """
    found = {}
    for path, entry in listing.items():
        facts = checks.mapping(entry, "repo-ls")
        if facts.get("type") == "file":
            size = checks.number(facts.get("size"), f"size of {path}", 0, 2**62)
            found[path] = Stored(size, _time(facts, "time"))
    return found


def content(path: str) -> str:
    """Return the contents of a text file in the repository, deciphered.

    Raises:
        AgentError: the store cannot be reached, or there is no such file.
    """
    outcome = run(
        ["pgbackrest", *_COMMON, "--io-timeout=5", "repo-get", path], timeout=LOOK_TIMEOUT
    )
    if outcome.status != 0:
        raise AgentError(f"cannot read {path} in the repository: {reason(outcome.stderr)}")
    return outcome.stdout


def version() -> str:
    """Return the version of the pgBackRest that is installed.

    Raises:
        AgentError: it does not say.
    """
    said = run(["pgbackrest", "version"], timeout=LOOK_TIMEOUT)
    if not said.stdout.strip():
        raise AgentError(f"pgbackrest does not tell its version: {said.complaint()}")
    return said.stdout.split()[-1]


def parse_info(answer: object, stanza: str) -> Stanza:
    """Return what the JSON `answer` of `info` says of `stanza`.

    Raises:
        AgentError: a part is missing or has an unexpected form.
    """
    for entry in checks.sequence(answer, "info"):
        facts = checks.mapping(entry, "info")
        if facts.get("name") != stanza:
            continue
        repositories = checks.sequence(facts.get("repo"), "info.repo")
        first = checks.mapping(repositories[0] if repositories else None, "info.repo")
        status = checks.mapping(first.get("status"), "info.repo.status")
        backups = checks.sequence(facts.get("backup"), "info.backup")
        archives = _archive_ids(checks.sequence(facts.get("archive"), "info.archive"))
        return Stanza(
            code=checks.number(status.get("code"), "info.repo.status.code", 0, 255),
            message=reason(str(status.get("message"))),
            backups=tuple(
                _backup(checks.mapping(backup, "info.backup"), archives) for backup in backups
            ),
            archive_id=archives[max(archives)] if archives else "",
            encrypted=first.get("cipher") != "none",
        )
    return Stanza(STATUS_MISSING_PATH, "no such stanza", ())


def _archive_ids(archives: Sequence[object]) -> dict[int, str]:
    """By number of the database system: a major upgrade makes a new one."""
    found = {}
    for entry in archives:
        facts = checks.mapping(entry, "info.archive")
        number = _database(facts)
        found[number] = checks.text(facts.get("id"), "info.archive.id", ARCHIVE_ID)
    return found


def _database(facts: Mapping[str, object]) -> int:
    database = checks.mapping(facts.get("database"), "database")
    return checks.number(database.get("id"), "database.id", 1, 2**31)


def _backup(facts: Mapping[str, object], archives: Mapping[int, str]) -> Backup:
    sizes = checks.mapping(facts.get("info"), "backup.info")
    stored = checks.mapping(sizes.get("repository"), "backup.info.repository")
    lsn = checks.mapping(facts.get("lsn"), "backup.lsn")
    wal = checks.mapping(facts.get("archive"), "backup.archive")
    times = checks.mapping(facts.get("timestamp"), "backup.timestamp")
    notes = checks.mapping(facts.get("annotation") or {}, "backup.annotation")
    backup_id, errors = notes.get("backup_id"), facts.get("error")
    return Backup(
        label=checks.text(facts.get("label"), "backup.label", LABEL),
        type=checks.one_of(facts.get("type"), "backup.type", TYPES.values()),
        backup_id=backup_id if isinstance(backup_id, str) else None,
        page_errors=errors if isinstance(errors, bool) else None,
        started_at=_time(times, "start"),
        completed_at=_time(times, "stop"),
        size=checks.number(sizes.get("size"), "backup.info.size", 0, 2**62),
        stored=checks.number(stored.get("delta"), "backup.info.repository.delta", 0, 2**62),
        lsn_start=checks.text(lsn.get("start"), "backup.lsn.start", LSN),
        lsn_stop=checks.text(lsn.get("stop"), "backup.lsn.stop", LSN),
        wal_start=checks.text(wal.get("start"), "backup.archive.start", WAL_SEGMENT),
        wal_stop=checks.text(wal.get("stop"), "backup.archive.stop", WAL_SEGMENT),
        archive_id=archives.get(_database(facts), ""),
        references=tuple(
            checks.text(label, "backup.reference", LABEL)
            for label in checks.sequence(facts.get("reference") or [], "backup.reference")
        ),
    )


def _time(times: Mapping[str, object], key: str) -> datetime:
    return datetime.fromtimestamp(checks.number(times.get(key), f"timestamp.{key}", 0, 2**40), UTC)


def _lists(stanza: str, area: str) -> bool:
    """Whether the repository has any file of `stanza` in `area` (archive or backup)."""
    return any(name != "." for name in _listing(f"{area}/{stanza}", timeout=LOOK_TIMEOUT))


def _listing(path: str, *options: str, timeout: float) -> Mapping[str, object]:
    look = ["pgbackrest", *_COMMON, *_LOOK, *options, "repo-ls", path]
    return checks.mapping(_json_of(run(look, timeout=timeout)), "repo-ls")


def _json_of(outcome: Outcome) -> object:
    if outcome.status != 0:
        raise AgentError(f"the backup repository does not answer: {reason(outcome.stderr)}")
    try:
        # With the wrong cipher it quotes what it read, control characters and all.
        return json.loads(outcome.stdout, strict=False)
    except ValueError as error:
        raise AgentError(
            f"pgbackrest answered something that is not JSON: {outcome.complaint()}"
        ) from error
