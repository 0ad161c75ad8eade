"""The first region is gone: a stack in the second one, by docs/how-to/deploy-on-aws.md.

Each command must do what its step says.
"""

from __future__ import annotations

import json
from collections.abc import Iterator

import pytest

from infra.guardrails.plan import Plan, Resource
from infra.guardrails.rules import violations
from tests.cloud.regions import (
    IMAGE,
    LOST,
    RECOVERY,
    SECOND,
    first_targets,
    give_keys,
    keys,
    write_stack_files,
)
from tests.fake_aws.kinds.names import BUCKET, INSTANCE
from tests.fake_aws.policies import not_allowed
from tests.ops.aws.project import Project, PulumiError, opened

MEMBERS = 3


@pytest.fixture(scope="module")
def project(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Project]:
    """An account with a stack that has a copy in the second region, and step 1: two stack files."""
    with opened(tmp_path_factory.mktemp("aws")) as (project, _):
        project.configure(LOST, copy_region=SECOND)
        project.up("aws-image")
        project.up(LOST)
        write_stack_files(project)
        yield project


def test_an_image_that_the_second_region_lacks_is_named(project: Project) -> None:
    with pytest.raises(PulumiError, match=f"There is no machine image .* in {SECOND}"):
        project.planned(RECOVERY)
    project.up(IMAGE)
    assert project.planned(RECOVERY).database_machines()


def test_the_bucket_is_made_before_any_machine_is(project: Project) -> None:
    give_keys(project, RECOVERY, keys(project, LOST))
    begin = len(project.calls)
    project.up(RECOVERY, *first_targets())
    made = {call["call"] for call in project.calls[begin:]}
    assert {"s3:CreateBucket", "s3:PutObjectLockConfiguration", "kms:CreateKey"} <= made
    assert not {call for call in made if call.startswith(("ec2:", "iam:"))}


def test_then_all_of_it_with_the_keys_of_the_lost_stack(project: Project) -> None:
    project.up(RECOVERY)
    assert len(keys(project, RECOVERY)) == len({"repository-cipher", "key-encryption-key"})
    assert keys(project, RECOVERY) == keys(project, LOST)
    state = project.state(RECOVERY)
    assert violations(state) == []
    own = f"urn:pulumi:{RECOVERY}::"
    instances = [item for item in project.world.of(INSTANCE) if item.urn.startswith(own)]
    assert {item.region for item in instances} == {SECOND}
    (bucket,) = (
        item.id
        for item in project.world.of(BUCKET)
        if item.urn.startswith(own) and item.urn.endswith("::backups")
    )
    databases = state.database_machines()
    assert len(databases) == MEMBERS
    for machine, files in databases:
        assert json.loads(files["/etc/guestcomms/machine.json"])["bootstrap"] == "restore"
        place = json.loads(place_file(state, machine))
        assert (place["repository"]["bucket"], place["repository"]["region"]) == (bucket, SECOND)


def place_file(state: Plan, machine: Resource) -> str:
    """What a machine fetches at boot."""
    (found,) = (
        each
        for each in state.of("aws:s3/bucketObjectv2:BucketObjectv2")
        if each.name == f"{machine.name}-place"
    )
    return str(found.get("content"))


def test_the_deployers_policy_allows_every_step(project: Project) -> None:
    assert not_allowed(project.calls) == []
