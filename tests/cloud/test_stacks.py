"""The project's own stacks on the simulated AWS: made, left alone, changed, dismantled."""

from __future__ import annotations

import json
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import yaml

from infra.agent.paths import ALERTMANAGER
from infra.aws.bake import content_hash
from infra.aws.image import IMAGE_TAG
from infra.guardrails.rules import violations
from tests.cloud.figures import told
from tests.fake_aws.kinds.names import (
    INGRESS_RULE,
    INSTANCE,
    LOAD_BALANCER,
    METRIC_ALARM,
    NETWORK_INTERFACE,
    OBJECT,
    SECURITY_GROUP,
    SUBNET,
    TOPIC,
    VOLUME,
)
from tests.fake_aws.lookups import add_image
from tests.fake_aws.policies import not_allowed
from tests.fake_aws.systems_manager import COMMANDS, Machines
from tests.fake_aws.world import World
from tests.ops.aws.project import Project, PulumiError, counted, opened
from tests.ops.cluster.harness import PORTS, free_ports
from tools.command import ROOT

DATABASES = ("pg-1", "pg-2", "pg-3")
STACKS = ("aws-staging", "aws-prod")


@pytest.fixture(scope="module")
def cloud(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Project, Machines]]:
    """An account in which the machine image has been baked."""
    with opened(tmp_path_factory.mktemp("aws")) as (project, machines):
        project.up("aws-image")
        yield project, machines


def ids(world: World, token: str) -> dict[str, str]:
    """Name in the program → id."""
    return {item.urn.rpartition("::")[2]: item.id for item in world.of(token)}


def created_and_deleted(project: Project, begin: int) -> list[tuple[str, str]]:
    """What happened to which instance since a call, in order."""
    verbs = {"ec2:RunInstances": "run", "ec2:TerminateInstances": "terminate"}
    return [
        (verbs[call["call"]], call["about"])
        for call in project.calls[begin:]
        if call["call"] in verbs
    ]


@contextmanager
def without(project: Project, token: str, name: str) -> Iterator[None]:
    """Somebody deletes a thing of a stack by hand; it is there again afterwards."""
    with World.changing(project.folder / "world") as world:
        (item,) = (each for each in world.of(token) if each.urn.endswith(f"::{name}"))
        del world.items[item.key]
    yield
    with World.changing(project.folder / "world") as world:
        world.add(item)


@pytest.mark.parametrize("stack", STACKS)
def test_a_stack_keeps_the_guardrails_and_settles(
    cloud: tuple[Project, Machines], stack: str
) -> None:
    project, _ = cloud
    assert violations(project.planned(stack)) == []
    preview = project.seconds
    made = project.up(stack)
    first = project.seconds
    assert set(made) == {"created"}
    state = project.state(stack)
    assert len(state.database_machines()) == len(DATABASES)
    assert violations(state) == []
    assert project.up(stack) == {"unchanged": made["created"]}
    told(
        f"{stack}: {made['created']} resources; preview {preview:.0f} s, up {first:.0f} s,"
        f" again {project.seconds:.0f} s with 0 changes; 0 violations"
    )
    project.configure(stack, deletion_protection=False)
    pack = ("--policy-pack", str(ROOT / "infra" / "guardrails"))
    said = project.pulumi(stack, "preview", *pack, ok=False)
    assert "[mandatory]  deletion-protected" in said
    assert said.count("[mandatory]") == said.count("[mandatory]  deletion-protected")
    project.up(stack)
    project.pulumi(stack, "state", "unprotect", "--all", "--yes")
    project.destroy(stack)
    left = [item for item in project.world.of(INSTANCE) if "guestcomms:" in str(item.inputs)]
    assert left == []


def test_the_local_stack_keeps_the_guardrails(cloud: tuple[Project, Machines]) -> None:
    project, _ = cloud
    project.configure("local", ports=dict(zip(PORTS, free_ports(len(PORTS)), strict=True)))
    plan = project.planned("local")
    assert len(plan.database_machines()) == len(DATABASES)
    assert violations(plan) == []


def test_another_instance_type_rolls_one_database_machine_at_a_time(
    cloud: tuple[Project, Machines],
) -> None:
    project, machines = cloud
    stack = "aws-staging"
    project.up(stack)
    before, begin = project.world, len(project.calls)
    machines.leader = "pg-1"
    project.configure(
        stack,
        instance_types={
            "database": "m7g.xlarge", "proxy": "t4g.small", "monitor": "t4g.small",
            "drill": "t4g.medium",
        },
    )  # fmt: skip
    project.up(stack)
    assert {
        item.get("instanceType")
        for item in project.world.of(INSTANCE)
        if item.urn.rpartition("::")[2] in DATABASES
    } == {"m7g.xlarge"}
    for token in (NETWORK_INTERFACE, VOLUME):
        assert ids(project.world, token) == ids(before, token)
    changes = created_and_deleted(project, begin)
    rolled = [name for verb, name in changes if verb == "terminate"]
    assert sorted(rolled) == list(DATABASES)
    # Never is one taken away while another is missing.
    assert changes == [(verb, name) for name in rolled for verb in ("terminate", "run")]
    told(f"{stack}: another instance type: {' '.join(map(' '.join, changes))}")


@pytest.mark.parametrize(
    ("token", "name", "words"),
    [
        (SUBNET, "private-eu-central-1c", "InvalidSubnetID.NotFound"),
        (SECURITY_GROUP, "proxy", "InvalidGroup.NotFound"),
    ],
)
def test_what_the_world_lacks_is_named_by_the_preview(
    cloud: tuple[Project, Machines], token: str, name: str, words: str
) -> None:
    project, _ = cloud
    stack = "aws-staging"
    project.up(stack)
    project.configure_section(stack, "machines", proxies=3)
    try:
        project.planned(stack)  # with all that it refers to there, it is no error
        with without(project, token, name), pytest.raises(PulumiError, match=words):
            project.planned(stack)
    finally:
        project.configure_section(stack, "machines", proxies=2)


INTEL = {
    "database": "r7i.xlarge", "proxy": "c7i.large", "monitor": "m7i.large", "drill": "r7i.large",
}  # fmt: skip


def test_the_processor_is_the_configurations_choice(cloud: tuple[Project, Machines]) -> None:
    project, _ = cloud
    stack = "aws-prod"
    project.configure(stack, instance_types=INTEL)
    with pytest.raises(PulumiError, match=r"no machine image \w+ for x86_64 in eu-central-1"):
        project.planned(stack)
    tags = {IMAGE_TAG: content_hash("")}
    image = add_image(project.world, "guestcomms", "x86_64", "eu-central-1", tags)
    instances = project.planned(stack).of(INSTANCE)
    assert {each.get("ami") for each in instances} == {image["id"]}
    assert {each.get("instanceType") for each in instances} == set(INTEL.values())


@pytest.mark.parametrize(
    ("types", "words"),
    [
        ({"proxy": "c7g.medium"}, "all need the same architecture; .*c7g.medium is arm64"),
        ({"database": "r7i.large"}, "wants 32768 MiB and 4 cores, but r7i.large has 16384 MiB"),
    ],
)
def test_instance_types_that_do_not_fit_are_named(
    cloud: tuple[Project, Machines], types: dict[str, str], words: str
) -> None:
    project, _ = cloud
    project.configure("aws-prod", instance_types=INTEL | types)
    with pytest.raises(PulumiError, match=words):
        project.planned("aws-prod")


def test_an_image_that_nobody_baked_is_named_by_the_preview(
    cloud: tuple[Project, Machines],
) -> None:
    project, _ = cloud
    project.configure("aws-prod", image="ami-0123456789abcdef0", instance_types=INTEL)
    with pytest.raises(PulumiError, match=r"InvalidAMIID\.NotFound"):
        project.planned("aws-prod")


def test_a_refresh_finds_what_hands_have_changed_and_up_mends_it(
    cloud: tuple[Project, Machines],
) -> None:
    project, _ = cloud
    stack = "aws-staging"
    project.configure(stack, deletion_protection=True)
    project.up(stack)
    assert set(refreshed(project, stack)) == {"unchanged"}
    rule = "database-from-proxy-5432"
    with World.changing(project.folder / "world") as world:
        (item,) = (each for each in world.of(INGRESS_RULE) if each.urn.endswith(f"::{rule}"))
        world.remove(item)
        (door,) = world.of(LOAD_BALANCER)
        door.inputs["enableDeletionProtection"] = False
    changes = refreshed(project, stack)
    assert changes.pop("unchanged")
    assert changes == {"deleted": 1, "updated": 1}
    mended = project.up(stack)
    assert mended.pop("unchanged")
    assert mended == {"created": 1, "updated": 1}
    assert set(refreshed(project, stack)) == {"unchanged"}


def refreshed(project: Project, stack: str) -> dict[str, int]:
    """`pulumi refresh`: how many resources are others than the state says."""
    return counted(project.pulumi(stack, "refresh", "--yes", "--skip-preview"))


def test_the_alarm_outside_hears_what_the_monitor_says(cloud: tuple[Project, Machines]) -> None:
    project, _ = cloud
    project.up("aws-staging")
    state = project.state("aws-staging")
    (alarm,) = (each for each in state.of(METRIC_ALARM) if each.name == "monitor-silent")
    topic = alarm.get("dimensions.TopicName")
    assert {each.get("name") for each in state.of(TOPIC)} >= {topic}
    # Nothing said is as bad as too little.
    assert alarm.get("treatMissingData") == "breaching"
    (place,) = (each for each in state.of(OBJECT) if each.name == "monitor-1-place")
    config = yaml.safe_load(json.loads(place.get("content"))["files"][str(ALERTMANAGER)])
    (receiver,) = (
        each
        for each in config["receivers"]
        for sns in each.get("sns_configs", [])
        if sns["topic_arn"].endswith(f":{topic}")
    )
    (route,) = (r for r in config["route"]["routes"] if r["receiver"] == receiver["name"])
    assert seconds(route["repeat_interval"]) < alarm.get("period")


def seconds(duration: str) -> int:
    """Prometheus' way to write a time, in seconds."""
    return int(duration[:-1]) * {"s": 1, "m": 60, "h": 3600}[duration[-1]]


def test_a_machine_stays_while_another_one_is_sick(cloud: tuple[Project, Machines]) -> None:
    project, machines = cloud
    stack = "aws-staging"
    project.up(stack)
    before = ids(project.world, INSTANCE)
    machines.sick = {"pg-3"}
    project.configure(stack, instance_types={"database": "m7g.2xlarge"})
    try:
        with pytest.raises(PulumiError, match="pg-1 stays as it is"):
            project.up(stack)
    finally:
        machines.sick = set()
    assert {name: ids(project.world, INSTANCE)[name] for name in DATABASES} == {
        name: before[name] for name in DATABASES
    }


def test_the_deployers_policy_allows_every_call(cloud: tuple[Project, Machines]) -> None:
    project, _ = cloud
    made = {call["call"] for call in project.calls}
    assert {"ec2:RunInstances", "imagebuilder:CreateImage", "s3:PutBucketReplication"} <= made
    assert {"s3:DeleteObjectVersion", "kms:ScheduleKeyDeletion", "iam:DeleteRole"} <= made
    assert not_allowed(project.calls) == []


def test_commands_reach_machines_through_systems_manager(
    cloud: tuple[Project, Machines],
) -> None:
    project, _ = cloud
    lines = Path(project.folder / "world" / COMMANDS).read_text(encoding="utf-8").splitlines()
    assert any('"handover"' in line for line in lines)
