"""Machines in service: what a machine was given has arrived, and the health gate lets it be.

Each machine has a `Service` behind its instance. It is deleted before the instance is, and that is
where a leader hands over and an unhealthy cluster stops the roll; it is made after, and that is
where the next machine waits for this one's health.
"""

from __future__ import annotations

import json
import time
from collections.abc import Mapping
from typing import Any

from pulumi import Input, Output, ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from infra import gate
from infra.aws.ssm import SsmChannel, client
from infra.dynamic import PlaceError, Props, Provider, changed, progress
from infra.gate import AGENT, HEALTH_SECONDS, Channel, ask_agent

FETCH = "/usr/local/sbin/guestcomms-fetch"
BOOT_SECONDS = 600
POLL_SECONDS = 5.0
ONLINE = "Online"


class ServiceProvider(Provider):
    """Waits for machines, hands them what is new, and guards their end."""

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        # An instance that is yet to be made counts as another one: the engine asks so when it
        # replaces the instance, and this resource must then be deleted first.
        other = olds["instance_id"] != news["instance_id"]
        return DiffResult(
            changes=other
            or bool(changed(olds, news, ["delivered", "database_machines", "region"])),
            replaces=["instance_id"] if other else [],
            delete_before_replace=True,
        )

    def create(self, props: Props) -> CreateResult:
        _wait_until_booted(_channel(props), props["machine"])
        _after_change(props)
        return CreateResult(str(props["instance_id"]), props)

    def update(self, _id: str, olds: Props, news: Props) -> UpdateResult:
        staying = news["database_machines"]
        if _peers(news):
            running = _running(olds).items()
            gate.before_change({name: each for name, each in running if name not in staying})
        if changed(olds, news, ["delivered"]):
            _deliver(_channel(news), news["machine"])
        _after_change(news)
        return UpdateResult(news)

    def delete(self, _id: str, props: Props) -> None:
        if peers := _peers(props):
            gate.before_delete(props["machine"], peers, _running(props))


class Service(Resource, module="aws", name="Service"):
    """A machine that has booted, has what it was given, and is healthy among its peers."""

    instance_id: Output[str]

    def __init__(
        self,
        name: str,
        *,
        region: str,
        stack: str,
        instance_id: Input[str],
        delivered: Input[str],
        database_machines: Mapping[str, str],
        opts: ResourceOptions,
    ) -> None:
        """What the machine is in.

        Parameters: `delivered` changes with what the machine fetches; `database_machines` are
        all of them with their addresses, none for a machine that is not of them.
        """
        props = {
            "machine": name,
            "region": region,
            "stack": stack,
            "instance_id": instance_id,
            "delivered": delivered,
            "database_machines": dict(database_machines),
        }
        super().__init__(ServiceProvider(), name, props, opts)


class ClusterProvider(Provider):
    """Waits for the whole cluster, and announces its end."""

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return DiffResult(changes=bool(changed(olds, news, ["database_machines"])))

    def create(self, props: Props) -> CreateResult:
        machines = list(props["database_machines"])
        gate.wait_until_whole(machines, _running(props), HEALTH_SECONDS)
        return CreateResult(str(props["stack"]), props)

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        return UpdateResult(self.create(news).outs)

    def delete(self, _id: str, props: Props) -> None:
        gate.unmark(_running(props))


class Cluster(Resource, module="aws", name="Cluster"):
    """The database machines as one: it exists once they are healthy together.

    It is deleted before any machine, which tells a cluster that is dismantled as a whole from a
    machine that is replaced.
    """

    def __init__(
        self,
        name: str,
        *,
        region: str,
        stack: str,
        database_machines: Mapping[str, str],
        opts: ResourceOptions,
    ) -> None:
        props = {"region": region, "stack": stack, "database_machines": dict(database_machines)}
        super().__init__(ClusterProvider(), name, props, opts)


class SettingsProvider(Provider):
    """Applies settings to a running cluster; deleting them leaves the cluster as it is."""

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return DiffResult(changes=bool(changed(olds, news, ["settings"])))

    def create(self, props: Props) -> CreateResult:
        # The machines have the wanted settings already: they came with their place facts.
        answer = ask_agent(_running(props), "settings", "--apply")
        if restarted := answer["restarted"]:
            progress(f"settings: restarted {', '.join(restarted)}")
        return CreateResult(str(props["stack"]), props)

    def read(self, id_: str, props: Props) -> ReadResult:
        try:
            live = ask_agent(_running(props), "settings")
        except PlaceError as error:
            # A refresh must work while the cluster is down: it is how the machines come back.
            progress(f"settings: taken as they were, nobody can be asked ({error})")
            return ReadResult(id_, props)
        return ReadResult(id_, {**props, "settings": text(live)})

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        return UpdateResult(self.create(news).outs)


class Settings(Resource, module="aws", name="Settings"):
    """Patroni's dynamic configuration; `pulumi refresh` finds what was changed by hand."""

    def __init__(
        self,
        name: str,
        *,
        region: str,
        stack: str,
        settings: Mapping[str, Any],
        database_machines: Mapping[str, str],
        opts: ResourceOptions,
    ) -> None:
        props = {
            "region": region,
            "stack": stack,
            "settings": text(settings),
            "database_machines": dict(database_machines),
        }
        super().__init__(SettingsProvider(), name, props, opts)


def text(settings: Mapping[str, Any]) -> str:
    """Settings as text: Pulumi's numbers are all floats, Patroni's are not."""
    return json.dumps(settings, sort_keys=True, indent=1)


def _after_change(props: Props) -> None:
    if peers := _peers(props):
        gate.after_change(props["machine"], peers, _running(props), HEALTH_SECONDS)


def _channel(props: Props) -> SsmChannel:
    return SsmChannel(client(props["region"]), props["instance_id"])


def _peers(props: Props) -> list[str]:
    return [name for name in props["database_machines"] if name != props["machine"]]


def _running(props: Props) -> dict[str, Channel]:
    """The ways to this stack's database machines that Systems Manager sees, by name.

    They are known by their addresses, which are fixed: an instance may be replaced at any time.
    """
    names = {address: name for name, address in props["database_machines"].items()}
    ssm = client(props["region"])
    pages = ssm.get_paginator("describe_instance_information").paginate(
        Filters=[{"Key": "tag:stack", "Values": [props["stack"]]}]
    )
    return {
        names[item["IPAddress"]]: SsmChannel(ssm, item["InstanceId"])
        for page in pages
        for item in page["InstanceInformationList"]
        if item["PingStatus"] == ONLINE and item["IPAddress"] in names
    }


def _wait_until_booted(channel: Channel, machine: str) -> None:
    """Wait until cloud-init has done everything that user-data asks for.

    Raises:
        PlaceError: it failed, or took longer than BOOT_SECONDS.
    """
    give_up = time.monotonic() + BOOT_SECONDS
    told = "Systems Manager has not seen it"
    while time.monotonic() < give_up:
        try:
            answer = channel.run("cloud-init", "status", "--format", "json")
            status = dict(json.loads(answer.output))
        except (PlaceError, json.JSONDecodeError) as error:
            told = str(error)
            time.sleep(POLL_SECONDS)
            continue
        if status.get("status") == "done":
            return
        if status.get("status") == "error":
            reasons = "; ".join(str(error) for error in status.get("errors", []))
            raise PlaceError(f"machine {machine}: cloud-init failed: {reasons}")
        told = f"cloud-init says {status.get('status', 'nothing')!r}"
        time.sleep(POLL_SECONDS)
    raise PlaceError(f"machine {machine} did not boot within {BOOT_SECONDS} s ({told})")


def _deliver(channel: Channel, machine: str) -> None:
    """Have the machine fetch what is new, and the agent put it where the services look for it."""
    for command in ((FETCH,), (AGENT, "prepare")):
        answer = channel.run(*command)
        if answer.code != 0:
            raise PlaceError(f"machine {machine}: {command[0]} failed: {gate.reason(answer)}")
