"""Where machines stand on AWS, what they boot, and which stack files are refused."""

from __future__ import annotations

import base64
import gzip
import ipaddress
from typing import Any

import pytest

from infra.agent.paths import ALERTMANAGER, PROMETHEUS
from infra.aws.layout import site, subnets
from infra.aws.machine import packed
from infra.aws.watch import told_by_the_monitor
from infra.machine import machines
from infra.machine.model import Role
from infra.spec import ClusterSpec, LocalPlace, SpecError
from tests.unit.infra.aws.stacks import STACKS, config, place_of, spec_of

AGENT = "0" * 64


@pytest.mark.parametrize("stack", STACKS)
def test_user_data_of_every_machine_is_the_local_one_byte_for_byte(stack: str) -> None:
    spec = spec_of(stack)
    aws = told_by_the_monitor(spec, "123456789012", "eu-central-1")
    local = spec.model_copy(update={"place": LocalPlace()})
    here = {item.name: item for item in machines(aws, AGENT)}
    there = {item.name: item for item in machines(local, AGENT)}
    assert set(there) - set(here) == {"store-1"}
    for name, item in here.items():
        assert item.user_data == there[name].user_data, name
    assert AGENT in here["pg-1"].user_data
    # Whom the monitor watches and tells does differ: it comes with the place file.
    differing = {
        (name, path)
        for name, item in here.items()
        for path, content in item.files.items()
        if content != there[name].files[path]
    }
    assert differing == {("monitor-1", str(PROMETHEUS)), ("monitor-1", str(ALERTMANAGER))}
    assert "aws-heartbeat" in here["monitor-1"].files[str(ALERTMANAGER)]


@pytest.mark.parametrize("stack", STACKS)
def test_what_ec2_gets_unpacks_to_the_user_data_and_fits(stack: str) -> None:
    for item in machines(spec_of(stack), AGENT):
        sent = base64.b64decode(packed(item.user_data))
        assert len(sent) <= 16 * 1024
        assert gzip.decompress(sent).decode() == item.user_data


@pytest.mark.parametrize("stack", STACKS)
def test_no_two_machines_share_an_address_and_each_is_in_its_zones_subnet(stack: str) -> None:
    place = place_of(stack)
    found = {
        item.name: site(place, item.name, item.role) for item in machines(spec_of(stack), AGENT)
    }
    assert len({each.address for each in found.values()}) == len(found) == 7
    for name, each in found.items():
        subnet = ipaddress.ip_network(subnets(place)[each.zone])
        assert ipaddress.ip_address(each.address) in subnet, name


def test_database_machines_and_proxies_stand_in_different_zones() -> None:
    place = place_of("aws-prod")
    assert {site(place, f"pg-{n}", Role.DATABASE).zone for n in (1, 2, 3)} == set(place.zones)
    assert len({site(place, f"proxy-{n}", Role.PROXY).zone for n in (1, 2)}) == 2


def test_seven_database_machines_move_no_other_machine() -> None:
    place = place_of("aws-prod")
    addresses = [site(place, f"pg-{n}", Role.DATABASE).address for n in range(1, 8)]
    others = [site(place, f"proxy-{n}", Role.PROXY).address for n in (1, 2, 3)]
    assert len({*addresses, *others}) == 10
    assert addresses[0] == "10.60.0.11"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"region": "mars"}, ["place.region", "'mars'"]),
        ({"zones": ["eu-central-1a"] * 3}, ["three different", "eu-central-1a"]),
        ({"zones": ["eu-west-1a", "eu-west-1b", "eu-west-1c"]}, ["zones", "of eu-central-1"]),
        ({"network": "10.0.0.0/24"}, ["between /16 and /20"]),
        ({"network": "10.0.0.1/16"}, ["place.network", "10.60.0.0/16"]),
        ({"clients": ["10.60.128.0/20"]}, ["overlaps"]),
        ({"clients": ["everybody"]}, ["place.clients.0", "'everybody'"]),
        ({"copy_region": "eu-central-1"}, ["copy_region", "another region"]),
        ({"tags": {"owner": "me"}}, ["cost-center"]),
        ({"account": "12"}, ["place.account", "'12'"]),
        ({"volumes": {"etcd": {"size": "512MiB"}}}, ["place.volumes.etcd.size", "whole GiB"]),
        ({"volumes": {"etcd": {"size": "4GiB", "iops": 9000}}}, ["500 iops a GiB"]),
        ({"volumes": {"postgresql": {"throughput_mib": 1000}}}, ["4000 iops"]),
        ({"instance_types": {"database": "large"}}, ["place.instance_types.database"]),
        ({"ports": {}}, ["place.ports", "no such setting", "zones"]),
    ],
)
def test_a_wrong_place_is_refused_by_the_name_of_its_setting(
    change: dict[str, Any], words: list[str]
) -> None:
    place = {**config("aws-prod")["place"], **change}
    with pytest.raises(SpecError) as refused:
        ClusterSpec.load("aws-prod", {**config("aws-prod"), "place": place})
    for word in words:
        assert word in str(refused.value)


def test_two_proxies_need_a_place_that_spreads_over_them() -> None:
    with pytest.raises(SpecError, match=r"machines\.proxies is 2"):
        ClusterSpec.load("local", {"machines": {"proxies": 2}})


def test_what_aws_prod_keeps_outlives_its_locks() -> None:
    spec = spec_of("aws-prod")
    assert spec.backup.retention_days >= 30
    assert spec.backup.object_lock_days >= spec.backup.retention_days
