"""Writing files so that nobody ever sees half of one, or one with the wrong owner."""

import errno
import grp
import os
import pwd
import secrets
import stat
from dataclasses import dataclass
from pathlib import Path

from infra.agent.errors import AgentError
from infra.agent.facts import Directory


@dataclass(frozen=True)
class File:
    """A file as it shall be. Contents may be secret, so they do not appear in its repr."""

    path: Path
    content: bytes
    owner: str
    group: str
    mode: int

    def __repr__(self) -> str:
        return f"File({self.path}, {self.owner}:{self.group} {self.mode:04o})"


def install(file: File) -> bool:
    """Make `file` so and return whether anything had to change.

    The new contents reach a temporary file that already has its final owner and mode, then replace
    the old file in one step, so a reader sees the old or the new one, and after a crash one of the
    two is there.

    Raises:
        AgentError: the user or the group does not exist on this machine.
    """
    owner, group = _ids(file.owner, file.group)
    if _is_so(file.path, file.content, owner, group, file.mode):
        return False
    temporary = file.path.with_name(f".{file.path.name}.{secrets.token_hex(4)}")
    descriptor = os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as stream:
            os.fchown(descriptor, owner, group)
            os.fchmod(descriptor, file.mode)
            stream.write(file.content)
            stream.flush()
            os.fsync(descriptor)
        _replace(temporary, file)
    finally:
        temporary.unlink(missing_ok=True)
    _sync_directory(file.path.parent)
    return True


def install_directory(directory: Directory) -> bool:
    """Make the directory, or correct owner and mode, and return whether anything had to change.

    Missing parents are made for everyone to enter. What lies in the directory is left alone.

    Raises:
        AgentError: the user or the group does not exist on this machine.
    """
    owner, group = _ids(directory.owner, directory.group)
    path = directory.path
    missing = not path.is_dir()
    if missing:
        path.parent.mkdir(mode=0o755, parents=True, exist_ok=True)
        path.mkdir(mode=0o700)
    now = path.stat()
    if not missing and _same(now, owner, group, directory.mode):
        return False
    os.chown(path, owner, group)
    path.chmod(directory.mode)
    return True


def remove(path: Path) -> bool:
    """Remove the file if it is there, durably, and return whether it was."""
    try:
        path.unlink()
    except FileNotFoundError:
        return False
    _sync_directory(path.parent)
    return True


def _replace(temporary: Path, file: File) -> None:
    try:
        temporary.replace(file.path)
    except OSError as error:
        if error.errno not in (errno.EBUSY, errno.EXDEV):
            raise
        # Docker mounts /etc/hosts as a single file: it cannot be replaced, only written.
        with file.path.open("r+b") as stream:
            stream.write(file.content)
            stream.truncate()
            stream.flush()
            os.fsync(stream.fileno())


def _is_so(path: Path, content: bytes, owner: int, group: int, mode: int) -> bool:
    try:
        return _same(path.stat(), owner, group, mode) and path.read_bytes() == content
    except FileNotFoundError:
        return False


def _same(now: os.stat_result, owner: int, group: int, mode: int) -> bool:
    return (now.st_uid, now.st_gid, stat.S_IMODE(now.st_mode)) == (owner, group, mode)


def _ids(owner: str, group: str) -> tuple[int, int]:
    try:
        return pwd.getpwnam(owner).pw_uid, grp.getgrnam(group).gr_gid
    except KeyError as error:
        raise AgentError(
            f"{owner}:{group}: no such user or group here ({error.args[0]})"
        ) from error


def _sync_directory(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
