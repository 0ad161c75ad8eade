"""The spec: safe defaults, and errors that name key, value and what is allowed."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from infra.spec import RECOVERY_TIMES, ClusterSpec, RecoveryPlan, SpecError

ROOT = Path(__file__).parents[3]


def load(**config: Any) -> ClusterSpec:
    return ClusterSpec.load("local", config)


def test_an_empty_configuration_is_a_safe_cluster() -> None:
    spec = load()
    assert spec.database_names == ("pg-1", "pg-2", "pg-3")
    assert spec.postgres.synchronous_mode == "quorum"
    assert spec.postgres.archive_timeout_seconds <= 60
    assert spec.backup.retention_days >= 30
    assert spec.bootstrap == "new"


@pytest.mark.parametrize(
    ("config", "expected"),
    [
        ({"postgres": {"max_connections": "many"}}, ["postgres.max_connections", "'many'"]),
        ({"postgres": {"max_connections": 9}}, ["postgres.max_connections", "got 9", "50"]),
        ({"postgres": {"max_conections": 9}}, ["postgres.max_conections", "max_connections"]),
        ({"postgres": {"archive_timeout_seconds": 900}}, ["got 900", "60"]),
        ({"postgres": {"parameters": {"port": 1}}}, ["port", "the project sets"]),
        ({"machines": {"database_nodes": 4}}, ["machines.database_nodes", "got 4", "3, 5 or 7"]),
        ({"machines": {"database": {"memory": 2}}}, ["machines.database.memory", "got 2", "2GiB"]),
        ({"machines": {"database": {"memory": "1MiB"}}}, ["at least 256MiB"]),
        ({"recovery": {"plan": "quick"}}, ["recovery.plan", "'quick'", "'fast'", "'wide'"]),
        ({"backup": {"full_schedule": "daily"}}, ["backup.full_schedule", "'daily'", "cron"]),
        ({"backup": {"full_schedule": "0 1 * * *'; DROP"}}, ["backup.full_schedule", "cron"]),
        ({"place": {"kind": "moon"}}, ["place.kind", "'moon'", "'local'"]),
        ({"place": {"ports": {"read_only": 5432}}}, ["read_write and read_only", "5432"]),
        ({"pooler": {"pool_size": 390}}, ["390", "leaves 370", "raise max_connections"]),
        ({"bootstrap": "maybe"}, ["guestcomms:bootstrap", "'maybe'", "'new' or 'restore'"]),
        ({"nonsense": 1}, ["guestcomms:nonsense", "known here", "postgres"]),
    ],
)
def test_a_wrong_value_is_explained(config: dict[str, Any], expected: list[str]) -> None:
    with pytest.raises(SpecError) as caught:
        load(**config)
    for part in expected:
        assert part in str(caught.value)


def test_every_wrong_key_is_named_at_once() -> None:
    with pytest.raises(SpecError) as caught:
        load(machines={"database_nodes": 2}, recovery={"plan": "x"})
    assert len(str(caught.value).splitlines()) == 2


@pytest.mark.parametrize("plan", RecoveryPlan)
def test_a_leader_gets_two_retries_within_its_lease(plan: RecoveryPlan) -> None:
    times = RECOVERY_TIMES[plan]
    assert times.loop_wait + 2 * times.retry_timeout <= times.ttl


def test_pulumi_yaml_describes_every_key_and_every_setting() -> None:
    declared = yaml.safe_load((ROOT / "Pulumi.yaml").read_text())["config"]
    secrets = {
        "guestcomms:escrow",
        "guestcomms:receiver_secrets",
    }  # for the place alone: no part of the spec
    assert set(declared) - secrets == {f"guestcomms:{key}" for key in ClusterSpec.config_keys()}
    for key in ClusterSpec.config_keys():
        text = declared[f"guestcomms:{key}"]["description"]
        section = ClusterSpec.model_fields[key].annotation
        for setting in getattr(section, "model_fields", {}):
            assert setting in text, f"{key}.{setting} is not described"


def test_a_pool_follows_the_cores_unless_it_is_said() -> None:
    assert load(machines={"database": {"cores": 2}}).pool_size == 5
    assert load(machines={"database": {"cores": 0.5}}).pool_size == 2
    assert load(pooler={"pool_size": 40}).pool_size == 40


def test_the_committed_stacks_load() -> None:
    stacks = [
        path
        for path in (ROOT / "infra" / "stacks").glob("Pulumi.*.yaml")
        if not path.name.startswith("Pulumi.test-")
    ]
    assert stacks
    for path in stacks:
        config = yaml.safe_load(path.read_text())["config"]
        values = {key.removeprefix("guestcomms:"): value for key, value in config.items()}
        ClusterSpec.load(path.name.split(".")[1], values)
