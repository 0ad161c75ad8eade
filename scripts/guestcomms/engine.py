"""Calls of the Pulumi CLI: its environment, its passphrase, and stack files that stay as committed.

The state of a local stack lies in the clone, encrypted with a passphrase that lies outside of it,
so that neither alone gives a secret away. Whoever set Pulumi's own variables keeps their choice.
"""

from __future__ import annotations

import os
import re
import secrets
import shlex
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from guestcomms import hints, paths, run
from guestcomms.errors import BusyError, GuestcommsError, RefusedError, UnreachableError

INSTALL_TODO = "run `make tools`, which installs what is missing"
RECOVER_TODO = (
    "its reasons are above: remove the cause and run the same command again, it goes on where it"
    " stopped (if it speaks of a lock or of pending operations:"
    " docs/how-to/recover-an-interrupted-up.md)"
)
STACK_NAME = re.compile(r"[a-z][a-z0-9-]{0,30}")
_SALT = re.compile(r"^encryptionsalt:.*\n?", re.MULTILINE)


class NoSuchStackError(UnreachableError):
    """The stack was never brought up, or `down --everything` removed it."""


def pulumi_environment(stack: str) -> dict[str, str]:
    """The variables that Pulumi needs beside those of the person's own environment.

    Backend, passphrase and Docker engine are left out where the person has set them.
    """
    environment = {
        "PATH": os.pathsep.join([*_own_programs(), os.environ.get("PATH", os.defpath)]),
        "PULUMI_STACK": stack,
        "PULUMI_SKIP_UPDATE_CHECK": "1",
        # The key's salt is in the state: stack files need none and stay as committed.
        "PULUMI_FALLBACK_TO_STATE_SECRETS_MANAGER": "true",
    }
    if "PULUMI_BACKEND_URL" not in os.environ:
        environment["PULUMI_BACKEND_URL"] = f"file://{_backend()}"
    if not _passphrase_is_given():
        environment["PULUMI_CONFIG_PASSPHRASE_FILE"] = str(passphrase_file())
    if "DOCKER_HOST" not in os.environ and (host := _docker_host()):
        environment["DOCKER_HOST"] = host
    return environment


def exports(stack: str) -> str:
    """The environment as lines for a shell's `eval`; PATH is extended, not frozen."""
    variables = pulumi_environment(stack)
    variables.pop("PATH")
    own = ":".join(shlex.quote(entry) for entry in _own_programs())
    lines = [f'export PATH={own}:"$PATH"']
    lines += [f"export {name}={shlex.quote(value)}" for name, value in variables.items()]
    return "\n".join(lines)


def passphrase_file() -> Path:
    """Where the passphrase lies when no variable gives one; all clones of a person share it."""
    home = os.environ.get("XDG_CONFIG_HOME") or "~/.config"
    return Path(home).expanduser() / "guestcomms" / "passphrase"


def passphrase_source() -> str:
    """Where the passphrase is read from, for a sentence."""
    if "PULUMI_CONFIG_PASSPHRASE" in os.environ:
        return "the variable PULUMI_CONFIG_PASSPHRASE"
    if name := os.environ.get("PULUMI_CONFIG_PASSPHRASE_FILE"):
        return f"{name} (variable PULUMI_CONFIG_PASSPHRASE_FILE)"
    return str(passphrase_file())


def prepare_backend() -> None:
    """Make the local state's folder and, if there is no state yet, a passphrase (0600).

    Raises `RefusedError` when state exists whose passphrase is gone: a new one could not read it.
    """
    paths.check_clone()
    if "PULUMI_BACKEND_URL" not in os.environ:
        _backend().mkdir(parents=True, exist_ok=True, mode=0o700)
    if _passphrase_is_given() or passphrase_file().is_file():
        return
    if any(_backend().glob(".pulumi/stacks/**/*.json")):
        raise RefusedError(
            f"The state in {_backend()} is encrypted, but its passphrase {passphrase_file()} is"
            " gone; put the file back from your backup, or name another one in"
            " PULUMI_CONFIG_PASSPHRASE_FILE."
        )
    _make_passphrase(passphrase_file())


def create_stack(stack: str) -> None:
    """Make the stack's state unless it exists; which stack a person has selected stays as it is.

    Raises `RefusedError` for a name that no stack file has.
    """
    known = sorted(file.name.split(".")[1] for file in paths.stack_file("*").parent.glob("*.yaml"))
    if stack not in known:
        raise RefusedError(
            f"There is no stack file for {stack!r}, only for: {', '.join(known) or 'none'};"
            " choose one of these with --stack, or write"
            f" {paths.stack_file(stack).relative_to(paths.ROOT)}."
        )
    try:
        pulumi(stack, ["stack", "init", stack, "--no-select"])
    except run.CommandError as error:
        if "already exists" not in error.stderr:
            raise


def pulumi(
    stack: str,
    arguments: Sequence[str],
    *,
    stdin: str | None = None,
    timeout_seconds: float = 120,
) -> str:
    """Run Pulumi to its end and return what it printed; secrets reach it through `stdin`.

    Raises `UnreachableError` or `RefusedError` for a state that is absent or cannot be read,
    `CommandError` for other failures.
    """
    by_hand = f"pulumi -- {' '.join(arguments)}"
    with stack_file_unsalted(stack):
        try:
            return run.capture(
                ["pulumi", *arguments, "--non-interactive", "--color=never"],
                env=pulumi_environment(stack),
                stdin=stdin,
                cwd=paths.ROOT,
                todo=f"{hints.command(by_hand, stack)} runs it by hand and shows all that it says",
                install=INSTALL_TODO,
                timeout_seconds=timeout_seconds,
            ).stdout
        except run.CommandError as error:
            raise explain(error, stack) from None


def pulumi_on_terminal(
    stack: str,
    arguments: Sequence[str],
    *,
    to_stderr: bool = False,
    todo: str = RECOVER_TODO,
    env: Mapping[str, str] | None = None,
) -> None:
    """Run Pulumi where the person sees and answers it; `to_stderr` keeps stdout for a result.

    Parameters: `env` reaches the program beside what Pulumi itself needs.
    Raises `CommandError` when it fails; what it said is on the terminal already.
    """
    with stack_file_unsalted(stack):
        run.stream(
            ["pulumi", *arguments],
            env={**pulumi_environment(stack), **(env or {})},
            cwd=paths.ROOT,
            todo=todo,
            install=INSTALL_TODO,
            to_stderr=to_stderr,
        )


@contextmanager
def stack_file_unsalted(stack: str) -> Iterator[None]:
    """Take Pulumi's `encryptionsalt` line out of the stack file again, also after a failure.

    Only that line: what a person edits meanwhile stays. It stays as well beside encrypted values
    (`secure:`), which belong to it.
    """
    try:
        yield
    finally:
        file = paths.stack_file(stack)
        text = file.read_text() if file.is_file() else ""
        rest = without_salt(text)
        if rest != text:
            file.write_text(rest)


def without_salt(text: str) -> str:
    """A stack file's text without its `encryptionsalt` line, unless encrypted values need it."""
    return text if re.search(r"\bsecure:", text) else _SALT.sub("", text)


def explain(error: run.CommandError, stack: str) -> GuestcommsError:
    """Say what a failure of Pulumi means for a person, where its own words leave that open."""
    said = error.stderr
    if "incorrect passphrase" in said or "passphrase must be set" in said:
        return RefusedError(
            f"The passphrase in {passphrase_source()} does not open the state of stack {stack!r};"
            " put the right one there, or name its file in PULUMI_CONFIG_PASSPHRASE_FILE."
        )
    if "no stack named" in said or "no stack selected" in said:
        return no_such_stack(stack)
    if "currently locked" in said:
        holder = re.search(r"created by (.+? \(pid \d+\))", said)
        return BusyError(
            f"Another update of stack {stack!r} holds its lock"
            f" ({holder[1] if holder else 'by whom is not known'}); wait for its end, or, if that"
            " process is gone, go on as in docs/how-to/recover-an-interrupted-up.md."
        )
    if "unable to open" in said or "could not open bucket" in said:
        backend = os.environ.get("PULUMI_BACKEND_URL", f"file://{_backend()}")
        return UnreachableError(
            f"The state backend {backend} does not open; {hints.up(stack)} makes the local one,"
            " for another check PULUMI_BACKEND_URL."
        )
    return error


def no_such_stack(stack: str) -> NoSuchStackError:
    """The error of a stack that does not exist."""
    return NoSuchStackError(
        f"There is no stack {stack!r}: it is not up in this clone; bring it up with"
        f" {hints.up(stack)}, or choose another with --stack."
    )


def state_exists() -> bool:
    """Whether there can be stacks at all: a backend of the person's own, or our folder."""
    return "PULUMI_BACKEND_URL" in os.environ or _backend().is_dir()


def _backend() -> Path:
    return paths.STATE / "pulumi"


def _own_programs() -> list[str]:
    """The folders of this clone's programs, before those of PATH."""
    return [str(paths.VENV), str(paths.TOOLS)]


def _docker_host() -> str | None:
    """The engine that the person's `docker context` names, which only the docker client reads."""
    try:
        inspected = run.capture(
            ["docker", "context", "inspect", "--format", "{{.Endpoints.docker.Host}}"],
            todo="see what `docker context ls` says",
        )
    except GuestcommsError:  # no docker client here: what needs none still works
        return None
    return inspected.stdout.strip() or None


def _passphrase_is_given(environment: Mapping[str, str] = os.environ) -> bool:
    return bool(
        "PULUMI_CONFIG_PASSPHRASE" in environment
        or environment.get("PULUMI_CONFIG_PASSPHRASE_FILE")
    )


def _make_passphrase(file: Path) -> None:
    """Write a random passphrase that only its owner can read, complete or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    partial = file.with_suffix(f".{os.getpid()}")
    descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(secrets.token_urlsafe(32) + "\n")
    try:
        os.link(partial, file)  # fails if another process was first: then theirs counts
    except FileExistsError:
        pass
    finally:
        partial.unlink()
