"""`guestcomms down`: destroy what `up` made, after saying what that is."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated

import typer

from guestcomms import engine, leftovers, paths
from guestcomms.cli.common import (
    JsonOption,
    YesOption,
    confirm_by_name,
    console,
    print_json,
    progress,
    settings,
    table,
)
from guestcomms.cli.progress import Stages
from guestcomms.errors import GuestcommsError, UsageError
from guestcomms.stack import Resource, check_clone, read_state

STORE = "store-1"
"""The machine whose volume holds the backups at place `local`."""
SHOWN = ("Machine", "Volume", "Network", "Login", "Secret", "Authority")
"""What a person cares about; certificates and images come and go with machines."""


@dataclass(frozen=True)
class Plan:
    """What stays and what goes."""

    kept: tuple[Resource, ...] = ()
    lost: tuple[Resource, ...] = ()

    @classmethod
    def make(cls, resources: Sequence[Resource], *, keep_backups: bool, everything: bool) -> Plan:
        """Sort what a stack has made."""

        def stays(resource: Resource) -> bool:
            in_store = resource.kind == "Volume" and resource.outputs.get("machine") == STORE
            return (resource.protected and not everything) or (keep_backups and in_store)

        owned = [resource for resource in resources if resource.owned]
        return cls(
            tuple(resource for resource in owned if stays(resource)),
            tuple(resource for resource in owned if not stays(resource)),
        )


def down(
    context: typer.Context,
    yes: YesOption = False,
    keep_backups: Annotated[
        bool, typer.Option("--keep-backups", help="Keep the volume of the backup store.")
    ] = False,
    everything: Annotated[
        bool, typer.Option("--everything", help="Also the keys of the backups, and the state.")
    ] = False,
    json: JsonOption = False,
) -> None:
    """Destroy the cluster with its data and its backups, after asking.

    The backups go too, unless --keep-backups is given. The repository cipher and the
    key-encryption key stay in the stack's state, so that backups kept anywhere can still be read;
    --everything removes them too.
    """
    if keep_backups and everything:
        raise UsageError(
            "--everything removes the keys without which kept backups cannot be read; give one of"
            " --keep-backups and --everything."
        )
    name = settings(context).stack
    try:
        resources = read_state(name, show_secrets=False)
        check_clone(name, resources)
    except engine.NoSuchStackError:
        resources, everything = [], False
    plan = Plan.make(resources, keep_backups=keep_backups, everything=everything)
    if plan.lost:
        _show(name, plan)
        if not yes:
            confirm_by_name(name, _warning(name, plan, everything))
    stages = _take_down(name, plan, everything, to_stderr=json)
    _tell(name, plan, stages, json)


def _take_down(name: str, plan: Plan, everything: bool, *, to_stderr: bool) -> Stages:
    stages = Stages(f"down-{name}")
    if plan.lost:
        with stages.stage("Destroy"):
            _destroy(name, plan, everything, to_stderr=to_stderr)
    if everything:
        with stages.stage("Remove the state"):
            _remove_state(name)
    with stages.stage("See that nothing is left"):
        _verify(name, plan.kept)
    return stages


def _show(name: str, plan: Plan) -> None:
    columns = ("what", "name")
    for title, resources in (("will be destroyed", plan.lost), ("stays", plan.kept)):
        rows = sorted((r.kind, r.name) for r in resources if r.kind in SHOWN)
        if rows:
            progress.print(table(f"Stack {name}: {title}", columns, rows))


def _warning(name: str, plan: Plan, everything: bool) -> str:
    volumes = sum(resource.kind == "Volume" for resource in plan.lost)
    keys = ", and the keys of every backup ever made of it" if everything else ""
    return f"This destroys stack {name}: {volumes} volumes with all their data{keys}. No way back."


def _destroy(name: str, plan: Plan, everything: bool, *, to_stderr: bool) -> None:
    protection = "--ignore-protect" if everything else "--exclude-protected"
    excluded = [f"--exclude={r.urn}" for r in plan.kept if not r.protected]
    engine.pulumi_on_terminal(
        name,
        ["destroy", "--yes", "--skip-preview", protection, *excluded],
        to_stderr=to_stderr,
    )


def _remove_state(name: str) -> None:
    """Forget the stack: its state with history and backups, and what was derived from it."""
    engine.pulumi(name, ["stack", "rm", "--yes", "--preserve-config", "--remove-backups"])
    shutil.rmtree(paths.stack_directory(name))


def _verify(name: str, kept: Sequence[Resource]) -> None:
    """Raise `GuestcommsError` if anything of the stack is left on the Docker engine."""
    clone = paths.clone_id()
    if clone is None:  # nothing was ever made here
        return
    expected = {f"volume {r.outputs.get('volume')}" for r in kept if r.kind == "Volume"}
    left = [item for item in leftovers.find(name, clone) if item not in expected]
    if left:
        raise GuestcommsError(
            f"Of stack {name!r} there is still: {', '.join(left)}; run the same command again, or"
            " remove them with `docker rm --force`, `docker volume rm`, `docker network rm`."
        )


def _tell(name: str, plan: Plan, stages: Stages, json: bool) -> None:
    if json:
        print_json(
            {
                "stack": name,
                "destroyed": [resource.urn for resource in plan.lost],
                "kept": [resource.urn for resource in plan.kept],
                **stages.as_json(),
            }
        )
    elif plan.lost:
        console.print(f"Stack {name} is down.")
    else:
        console.print(f"Stack {name} was not up; nothing is left of it.")
