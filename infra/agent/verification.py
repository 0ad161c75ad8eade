"""Verification: every file in the repository read, deciphered and compared with its checksum.

`pgbackrest verify` does the reading. It ends with 0 whatever it finds, so what counts is what it
says, and it has to say it of every backup that `info` names: a line that is missing or not
understood is a finding, never a pass.

A bundle that is shorter than its manifest says is found before: past its end `pgbackrest verify`
asks an S3 store for each file of the bundle again and again (it had not ended after five minutes).
"""

import json
import re
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

from infra.agent import checks, pgbackrest
from infra.agent.errors import AgentError
from infra.agent.evidence import Finding
from infra.agent.pgbackrest import Backup, Stanza, Stored
from infra.agent.run import run

TIMEOUT = 24 * 3600.0
MOST_NAMED = 100  # files that are named one by one

STATUS = re.compile(r"status: (.+)\Z")
ARCHIVE = re.compile(
    r"archiveId: (?P<name>[0-9-]+),"
    r" total WAL checked: (?P<all>\d+), total valid WAL: (?P<valid>\d+)\Z"
)
BACKUP = re.compile(
    r"backup: (?P<name>[0-9DFI_-]+), status: (?P<status>[a-z -]+),"
    r" total files checked: (?P<all>\d+), total valid files: (?P<valid>\d+)\Z"
)
COUNTS = re.compile(r"missing: (\d+), checksum invalid: (\d+), size invalid: (\d+), other: (\d+)\Z")
DAMAGED_FILE = re.compile(
    r"P\d+ +\w+: (?P<how>file missing|invalid checksum|invalid size|invalid result)"
    r" '?(?P<path>[^\s':]+)"
)
KINDS = ("missing", "checksum_invalid", "size_invalid", "other")


@dataclass
class Verification:
    """What was read, and what was wrong with it."""

    findings: list[Finding] = field(default_factory=list)
    figures: dict[str, float] = field(default_factory=dict)
    tool_exit_status: int = 0
    tool_said: str = ""


def look(stanza: str) -> Verification:
    """Read the whole repository of a stanza; takes as long as reading it takes.

    Raises:
        AgentError: the repository gives no answer; nothing is known.
    """
    before = _info(stanza)
    made = _verify(stanza, before)
    if made.findings and _gone(before, after := _info(stanza)):
        made = _verify(stanza, after)  # retention took away what was being read
    return made


def parse(said: str, names: str, backups: Sequence[Backup]) -> Verification:
    """Judge what `pgbackrest verify --output=text --verbose` said.

    Args:
        said: its standard output.
        names: its log, which names the files.
        backups: those that `info` names and that therefore have to be whole.
    """
    made, counts = Verification(tool_said=said.strip()), dict.fromkeys(KINDS, 0)
    status, valid, files, whole = "", set(), 0, 0
    for line in filter(None, (line.strip() for line in said.splitlines())):
        if found := COUNTS.match(line):
            for kind, count in zip(KINDS, found.groups(), strict=True):
                counts[kind] += int(count)
        elif found := BACKUP.match(line) or ARCHIVE.match(line):
            files, whole = files + int(found["all"]), whole + int(found["valid"])
            made.findings += _of_line(found)
            valid.add(found["name"])
        elif found := STATUS.match(line):
            status = found[1]
        elif not line.startswith(("stanza: ", "backup: none", "archiveId: none")):
            made.findings.append(Finding("not_understood", f"pgBackRest says: {line}"))
    made.findings += [
        Finding("damaged_file", f"{path}: {how}", {"path": path}) for path, how in _files(names)
    ]
    for backup in backups:
        made.findings += _of_backup(backup, is_read=backup.label in valid)
    if not backups:
        made.findings.append(Finding("no_backup", "There is no backup in the repository."))
    if (status != "ok" or any(counts.values()) or files != whole) and not made.findings:
        made.findings.append(Finding("not_ok", f"pgBackRest says: {made.tool_said[:500]}"))
    made.figures = {
        "files": files, "files_damaged": files - whole, "backups": len(backups),
        "backups_damaged": sum(
            1 for one in backups
            if any(found.facts.get("label") == one.label for found in made.findings)
        ),
        **counts,
    }  # fmt: skip
    return made


def short_bundles(label: str, manifest: str, stored: Mapping[str, Stored]) -> Iterator[Finding]:
    """Yield the bundles of a backup that end before the last file in them does.

    Args:
        label: of the backup; what it refers to in an earlier one is that one's.
        manifest: its backup.manifest.
        stored: the files in its folder `bundle`, by name.

    Raises:
        AgentError: the manifest is not understood.
    """
    _, _, files = manifest.partition("\n[target:file]\n")
    ends: dict[str, int] = {}
    for line in files.partition("\n\n")[0].splitlines():
        name, brace, rest = line.partition("={")
        try:
            facts = checks.mapping(json.loads(brace[1:] + rest), name)
        except ValueError as error:
            raise AgentError(f"manifest of {label}: {name} is not understood") from error
        if "bni" not in facts or facts.get("reference", label) != label:
            continue
        bundle = str(checks.number(facts["bni"], f"bni of {name}", 1, 2**62))
        begin = checks.number(facts.get("bno", 0), f"bno of {name}", 0, 2**62)
        # Left out where it is the same.
        size = facts.get("repo-size", facts.get("size"))
        end = begin + checks.number(size, f"repo-size of {name}", 0, 2**62)
        ends[bundle] = max(end, ends.get(bundle, 0))
    for bundle, end in ends.items():
        there = stored.get(bundle)
        if there is not None and there.size < end:
            path = f"{label}/bundle/{bundle}"
            sentence = f"{path}: {there.size} bytes instead of {end}"
            yield Finding("damaged_file", sentence, {"path": path, "label": label})


def _verify(stanza: str, said: Stanza) -> Verification:
    if said.code in (pgbackrest.STATUS_MISSING_PATH, pgbackrest.STATUS_MISSING_DATA):
        sentence = f"The repository does not hold the stanza: {said.message}."
        return Verification([Finding("no_repository", sentence)], {"backups": 0})
    if short := list(_short_bundles(stanza, said.backups)):
        damaged = {found.facts["label"] for found in short}
        return Verification(
            short,
            {"backups": len(said.backups), "backups_damaged": len(damaged)},
            tool_said="not asked: it does not come to an end where a bundle is short",
        )
    with tempfile.TemporaryDirectory() as folder:
        options = ("--output=text", "--verbose", "--log-level-file=info", f"--log-path={folder}")
        outcome = run(pgbackrest.background("verify", stanza, *options), timeout=TIMEOUT)
        log = Path(folder) / f"{stanza}-verify.log"
        names = log.read_text(encoding="utf-8", errors="replace") if log.exists() else ""
    if outcome.status != 0:
        raise AgentError(
            f"pgbackrest verify failed with status {outcome.status}:"
            f" {pgbackrest.reason(outcome.stderr)}"
        )
    made = parse(outcome.stdout, names, said.backups)
    made.tool_exit_status = outcome.status
    return made


def _short_bundles(stanza: str, backups: Sequence[Backup]) -> Iterator[Finding]:
    for backup in backups:
        folder = f"backup/{stanza}/{backup.label}"
        with suppress(AgentError):  # what cannot be read now is told by pgBackRest's own look
            manifest = pgbackrest.content(f"{folder}/backup.manifest")
            stored = pgbackrest.files(f"{folder}/bundle")
            yield from short_bundles(backup.label, manifest, stored)


def _of_line(line: re.Match[str]) -> Iterator[Finding]:
    whole, status = line["all"] == line["valid"], line.groupdict().get("status", "valid")
    if not whole or status not in ("valid", "in-progress"):
        what = "Backup" if line.re is BACKUP else "Archive"
        sentence = f"{what} {line['name']}: {line['valid']} of {line['all']} files are whole"
        sentence += "" if status == "valid" else f", {status}"
        yield Finding("damaged", f"{sentence}.", {"label": line["name"]})


def _of_backup(backup: Backup, *, is_read: bool) -> Iterator[Finding]:
    if not is_read:
        sentence = f"Backup {backup.label} is listed, but its files are not there."
        yield Finding("backup_missing", sentence, {"label": backup.label})
    if backup.page_errors is not False:
        how = "has damaged pages" if backup.page_errors else "was taken without page checksums"
        yield Finding("pages", f"Backup {backup.label} {how}.", {"label": backup.label})


def _files(names: str) -> Iterator[tuple[str, str]]:
    """Yield the first damaged files that pgBackRest's log names, each with how."""
    seen: dict[str, str] = {found["path"]: found["how"] for found in DAMAGED_FILE.finditer(names)}
    yield from list(seen.items())[:MOST_NAMED]


def _info(stanza: str) -> Stanza:
    said = pgbackrest.info(stanza)
    known = (
        pgbackrest.STATUS_OK, pgbackrest.STATUS_NO_BACKUP,
        pgbackrest.STATUS_MISSING_PATH, pgbackrest.STATUS_MISSING_DATA,
    )  # fmt: skip
    if said.code not in known:
        raise AgentError(f"the backup repository does not answer: {said.message}")
    return said


def _gone(before: Stanza, after: Stanza) -> bool:
    """Whether a backup went between two looks."""
    return not {one.label for one in before.backups} <= {one.label for one in after.backups}
