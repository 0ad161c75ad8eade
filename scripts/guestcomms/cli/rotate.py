"""`guestcomms rotate`: new certificates, authority and passwords, while everybody works on."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Annotated, Any

import typer
from rich.text import Text

from guestcomms import certificates, db, engine, health, hints, restore_record, rotation
from guestcomms.cli.common import (
    JsonOption,
    YesOption,
    console,
    nobody_to_ask,
    print_json,
    progress,
    settings,
    table,
)
from guestcomms.cli.progress import Stages
from guestcomms.errors import (
    BusyError,
    GuestcommsError,
    RefusedError,
    UnhealthyError,
    UnreachableError,
    UsageError,
)
from guestcomms.run import CommandError
from guestcomms.stack import Stack, check_clone, read_state

app = typer.Typer(
    no_args_is_help=True,
    help="New certificates, authority and passwords, without an outage.",
)
APPLICATION = "guestcomms rotate"
PREVIEW_SECONDS = 300.0
ANSWER_SECONDS = 30.0
STEPS = {
    "trust": "make a new authority; every machine trusts both",
    "issue": "every machine shows a certificate of the new one; both are trusted",
    "retire": "every machine trusts the new one alone",
}


@app.command("certificates")
def certificates_(context: typer.Context, yes: YesOption = False, json: JsonOption = False) -> None:
    """Give every machine a new certificate, one database machine after the other.

    Servers read them without ending a connection; clients notice nothing. Afterwards every port is
    asked which certificate it shows. After an interruption the same command goes on.
    """
    run = _Run.begin(context, "rotate-certificates", json)
    token = run.state.unfinished_token or (None if run.resumes else _now())
    rows = [(name, "new certificate, valid 365 days") for name in sorted(run.state.machines)]
    run.ask(yes, "Certificates", ("machine", "what happens"), rows)
    with run.stages.stage("Issue and deliver"):
        run.up(rotation.request(certificates=token))
    run.verify_certificates()
    run.tell({}, "Every port shows its new certificate. Clients have nothing to do.")


@app.command()
def ca(
    context: typer.Context,
    until: Annotated[
        str, typer.Option("--until", help="Stop after this step: trust, issue or retire.")
    ] = "retire",
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Replace the stack's certificate authority, with both trusted meanwhile.

    Three steps: trust, issue, retire. After each one every port is asked what it shows, and every
    way in is tried. Programs that keep a copy of the authority's certificate need the new one
    between the first step and the second: give --until trust, hand out the file that
    `guestcomms dsn` names (it holds both then), and go on. Programs that use that very file have
    nothing to do. After an interruption the same command goes on.
    """
    if until not in rotation.AUTHORITY_STEPS:
        raise UsageError(f"There is no step {until!r}; choose trust, issue or retire.")
    run = _Run.begin(context, "rotate-ca", json)
    undelivered = bool(run.state.trusts_otherwise)
    steps = rotation.authority_steps(run.state.authority_step, undelivered=undelivered, until=until)
    run.ask(yes, "Authority", ("step", "what happens"), [(step, STEPS[step]) for step in steps])
    for step in steps:
        with run.stages.stage(f"Step {step}"):
            run.up(rotation.request(authority=step))
        run.verify_certificates()
        run.try_every_door()
    file = Stack.load(run.name).ca_file
    done = until == "retire"
    words = (
        "The former authority is not trusted any more."
        if done
        else f"Hand out {file}, then go on with {hints.command('rotate ca', run.name)}."
    )
    run.tell({"steps": steps, "ca_file": str(file), "finished": done}, words)


@app.command()
def passwords(
    context: typer.Context,
    roles: Annotated[
        list[str] | None, typer.Argument(metavar="[ROLE]...", help="Which; without any, all.")
    ] = None,
    retire: Annotated[bool, typer.Option("--retire", help="Take the former logins away.")] = False,
    force: Annotated[
        bool, typer.Option("--force", help="With --retire: end connections that still use them.")
    ] = False,
    yes: YesOption = False,
    json: JsonOption = False,
) -> None:
    """Give roles a second login with a new password; take the former away with --retire.

    PostgreSQL knows one password of a login, so each role has two logins that take turns:
    wedsync_app, wedsync_app_b. Both work, for the same organizations, until --retire; programs
    change over at their own time, by reading `guestcomms dsn` again. --retire refuses while
    somebody is connected with the former login. After an interruption the same command goes on.
    """
    if force and not retire:
        raise UsageError("--force says what --retire does; give both, or neither.")
    run = _Run.begin(context, "rotate-passwords", json)
    chosen = [_login(run, role) for role in roles or sorted(run.state.logins)]
    if retire:
        _retire_logins(run, [login for login in chosen if login.former], yes=yes, force=force)
    else:
        _issue_logins(run, chosen, yes=yes)


def _issue_logins(run: _Run, chosen: Sequence[rotation.Login], *, yes: bool) -> None:
    fresh = [login for login in chosen if not login.former]
    if fresh or run.resumes:
        rows = [(login.role, login.name, "stays valid until --retire") for login in fresh]
        run.ask(yes, "A second login for", ("role", "login now", "which"), rows)
        token = _now()
        asked = {login.first_name: ("issue", token) for login in fresh}
        with run.stages.stage("Make logins and deliver"):
            run.up(rotation.request(logins=asked))
    stack = Stack.load(run.name)
    with run.stages.stage("Connect with each"):
        for login in chosen:
            _await_answer(stack, stack.dsn(login.role))
    state = run.read()
    made = [state.logins[login.role] for login in chosen]
    logins = {each.role: {"login": each.name, "former": each.former} for each in made}
    if not run.json:
        rows = [(each.role, each.name, each.former or "-") for each in made]
        console.print(table("Logins", ("role", "use now", "still works"), rows))
    words = " ".join(["rotate passwords", *(login.role for login in chosen), "--retire"])
    run.tell(
        {"logins": logins},
        f"Let programs read {hints.command('dsn --role ROLE', run.name)} again, then run"
        f" {hints.command(words, run.name)}.",
    )


def _retire_logins(run: _Run, chosen: Sequence[rotation.Login], *, yes: bool, force: bool) -> None:
    if not chosen and not run.resumes:
        run.tell({"retired": []}, "No role has a former login: there is nothing to take away.")
        return
    used = rotation.connections(Stack.load(run.name))
    former = [str(login.former) for login in chosen]
    busy = {name: used[name] for name in former if used.get(name)}
    if busy and not force:
        named = ", ".join(f"{name} ({number})" for name, number in busy.items())
        raise BusyError(
            f"Programs are still connected as {named}; let them read the new URL"
            f" ({hints.command('dsn', run.name)}) and run this again, or give --force to end"
            " their connections."
        )
    rows = [(login.role, login.former, used.get(str(login.former), 0)) for login in chosen]
    run.ask(yes, "Taken away", ("role", "login", "connections that end"), rows)
    asked = {login.first_name: ("retire", _now()) for login in chosen}
    with run.stages.stage("Take former logins away"):
        run.up(rotation.request(logins=asked))
    stack = Stack.load(run.name)
    with run.stages.stage("See that they get in no more"):
        for login in chosen:
            _await_answer(stack, stack.dsn(login.role))
            _must_be_out(stack, login)
    run.tell({"retired": former}, f"Gone: {', '.join(former) or 'those of the run before'}.")


class _Run:
    """One call: its stages, the state it began with, and what all kinds of rotation share."""

    def __init__(self, name: str, stages: Stages, json: bool) -> None:
        self.name = name
        self.stages = stages
        self.json = json
        self.state = self.read()
        self.resumes = bool(self.state.undelivered)

    @classmethod
    def begin(cls, context: typer.Context, evidence: str, json: bool) -> _Run:
        """Read where things stand, and refuse to begin in a cluster that is not in order."""
        name = settings(context).stack
        stages = Stages(f"{evidence}-{name}")
        with stages.stage("See where things stand"):
            check_clone(name, read_state(name, show_secrets=False))
            restore_record.refuse_changes(Stack.load(name))
            run = cls(name, stages, json)
            if run.resumes:
                progress.print(f"  going on: {', '.join(run.state.undelivered)} not done yet")
            else:
                run.refuse_other_changes()
            seen = health.ask(Stack.load(name))
            if not seen.healthy and not run.resumes:
                raise RefusedError(
                    f"The cluster is not healthy ({' '.join(seen.problems)}); see"
                    f" {hints.command('status', name)} and rotate when it is."
                )
        return run

    def read(self) -> rotation.State:
        """What the state says now."""
        return rotation.State.of(self.name, read_state(self.name, show_secrets=True))

    def refuse_other_changes(self) -> None:
        """A rotation changes nothing else: what the stack file also wants is for `up`."""
        try:
            engine.pulumi(
                self.name, ["preview", "--expect-no-changes"], timeout_seconds=PREVIEW_SECONDS
            )
        except CommandError as error:
            raise RefusedError(
                f"Stack {self.name!r} has changes of its own to come; apply them first with"
                f" {hints.up(self.name)}, then rotate. {error.message}"
            ) from None

    def ask(self, yes: bool, title: str, columns: Sequence[str], rows: Sequence[Any]) -> None:
        """Show the plan and ask, unless `yes`. Raises `RefusedError` if nobody agrees."""
        progress.print(table(f"Stack {self.name}: {title}", columns, rows))
        if yes:
            return
        if self.json or not sys.stdin.isatty():
            raise nobody_to_ask()
        if not typer.confirm("Go ahead?", err=True):
            raise RefusedError("Nothing was changed; run it again if you want it.")

    def up(self, request: dict[str, str]) -> None:
        """Take one step."""
        arguments = ["up", "--yes", "--skip-preview"]
        engine.pulumi_on_terminal(self.name, arguments, to_stderr=self.json, env=request)

    def verify_certificates(self) -> None:
        """Ask every machine what its ports show. Raises `UnhealthyError` for the wrong ones."""
        with self.stages.stage("See what every port shows"):
            deadline = time.monotonic() + ANSWER_SECONDS
            # The store starts anew for its certificate, which takes it some seconds.
            while (problems := self.wrong_certificates()) and time.monotonic() < deadline:
                time.sleep(1)
            if problems:
                raise UnhealthyError(
                    f"Not every port shows the present certificate: {'; '.join(problems)}."
                    f" `systemctl reload-or-restart` the server there, and see"
                    f" {hints.command('status', self.name)}."
                )

    def wrong_certificates(self) -> list[str]:
        """What is wrong with what the ports show now, or that a machine does not say."""
        problems: list[str] = []
        for answer in certificates.ask_all(Stack.load(self.name)).values():
            if isinstance(answer, GuestcommsError):
                problems.append(answer.message)
            else:
                problems += answer.problems
        return problems

    def try_every_door(self) -> None:
        """Connect by each way in. Raises `UnreachableError` for one that stays closed."""
        stack = Stack.load(self.name)
        with self.stages.stage("Try every way in"):
            for door in ({}, {"read_only": True}, {"direct": True}):
                _await_answer(stack, stack.dsn("monitor", **door))

    def tell(self, result: dict[str, Any], words: str) -> None:
        """Print how it ended."""
        if self.json:
            print_json({"stack": self.name, **result, **self.stages.as_json()})
        else:
            console.print(f"Took {self.stages.total_seconds:.0f} s. {words}", markup=False)


def _login(run: _Run, role: str) -> rotation.Login:
    if role not in run.state.logins:
        raise UsageError(
            f"There is no role {role!r}; choose of: {', '.join(sorted(run.state.logins))}."
        )
    return run.state.logins[role]


def _await_answer(stack: Stack, dsn: str) -> None:
    todo = f"see what {hints.command('status', stack.name)} says, then run this again"
    with progress.status(f"Waiting for {db.describe(dsn)}") as shown:
        db.wait(
            dsn,
            application_name=APPLICATION,
            timeout_seconds=ANSWER_SECONDS,
            todo=todo,
            report=lambda reason: shown.update(Text(reason)),
        )


def _must_be_out(stack: Stack, login: rotation.Login) -> None:
    """Try the former login, which must fail. Raises `UnhealthyError` if it gets in."""
    dsn = db.as_login(stack.dsn(login.role), str(login.former), str(login.former_password))
    try:
        with db.connect(dsn, application_name=APPLICATION, autocommit=True):
            pass
    except UnreachableError:
        return
    raise UnhealthyError(
        f"Login {login.former} still gets in; see what guestcomms-bootstrap says on the leader"
        f" ({hints.command('logs pg-1 -u guestcomms-bootstrap', stack.name)}) and run this again."
    )


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
