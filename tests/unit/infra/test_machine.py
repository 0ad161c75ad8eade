"""Machines are pure functions of the spec: complete, small, secret-free, the same everywhere."""

from __future__ import annotations

from typing import Any

import pytest
import yaml

from infra.machine import machines
from infra.machine.image import SERVER_PACKAGES, dockerfile, packages
from infra.machine.model import USER_DATA_LIMIT, Machine
from infra.machine.postgres import parameters
from infra.spec import ClusterSpec

SHA = "0" * 64


def build(**config: Any) -> dict[str, Machine]:
    return {item.name: item for item in machines(ClusterSpec.load("local", config), SHA)}


def files(machine: Machine) -> dict[str, str]:
    written = yaml.safe_load(machine.user_data)["write_files"]
    return {item["path"]: item["content"] for item in written}


def test_the_machines_of_a_cluster() -> None:
    assert list(build()) == ["store-1", "pg-1", "pg-2", "pg-3", "proxy-1", "monitor-1", "drill-1"]
    assert "pg-5" in build(machines={"database_nodes": 5})


def test_user_data_fits_ec2_and_is_deterministic() -> None:
    for machine in build(machines={"database_nodes": 7}).values():
        assert machine.user_data.startswith("#cloud-config\n")
        assert 0 < machine.user_data_size < USER_DATA_LIMIT
    assert build() == build()


def test_user_data_does_not_know_its_place_or_stack() -> None:
    for name in ("local", "aws-prod"):
        spec = ClusterSpec.load(name, {})
        assert [item.user_data for item in machines(spec, SHA)] == [
            item.user_data for item in build().values()
        ]


def test_nothing_starts_before_the_agent_is_the_pinned_one() -> None:
    for machine in build().values():
        document = yaml.safe_load(machine.user_data)
        assert document["runcmd"] == [["/usr/local/sbin/guestcomms-start"]]
        start = files(machine)["/usr/local/sbin/guestcomms-start"]
        assert start.index(f"{SHA}  /opt/guestcomms/agent.pyz") < start.index("systemctl enable")
        assert start.index("set -eu") < start.index("sha256sum")


def test_every_enabled_unit_waits_for_secrets_and_addresses() -> None:
    for machine in build().values():
        start = files(machine)["/usr/local/sbin/guestcomms-start"]
        units = start.split("guestcomms-prepare.service")[1].split()
        for unit in units:
            drop_in = files(machine)[f"/etc/systemd/system/{unit}.d/10-after-prepare.conf"]
            assert "Requires=guestcomms-prepare.service" in drop_in


def test_a_setting_changes_no_user_data_but_the_delivered_settings() -> None:
    before, after = build()["pg-1"], build(postgres={"parameters": {"work_mem": "7MB"}})["pg-1"]
    assert before.user_data == after.user_data
    assert before.settings != after.settings


def test_one_more_machine_makes_no_database_machine_and_no_proxy_anew() -> None:
    three, five = build(), build(machines={"database_nodes": 5})
    for name in ("pg-1", "pg-2", "pg-3", "proxy-1", "store-1", "drill-1"):
        assert three[name].user_data == five[name].user_data, name
    assert three["pg-1"].settings == five["pg-1"].settings


@pytest.mark.parametrize(("memory", "shared_buffers"), [("1GiB", "256MB"), ("64GiB", "16384MB")])
def test_postgresql_is_sized_from_memory(memory: str, shared_buffers: str) -> None:
    spec = ClusterSpec.load("local", {"machines": {"database": {"memory": memory, "cores": 4}}})
    assert parameters(spec)["shared_buffers"] == shared_buffers


def test_a_person_has_the_last_word_on_parameters() -> None:
    spec = ClusterSpec.load("local", {"postgres": {"parameters": {"jit": "on"}}})
    assert parameters(spec)["jit"] == "on"


def test_another_edition_is_another_image() -> None:
    text = dockerfile("2026-12")
    label, upgrade = text.index("guestcomms.edition=2026-12"), text.index("apt-get upgrade")
    # The builder keeps layers up to the first line that differs: packages come after it.
    assert label < upgrade < text.index("apt-get install")
    assert "edition" not in dockerfile()


def test_a_version_of_postgresql_holds_all_packages_of_that_source() -> None:
    text = dockerfile(postgresql_version="17.11-0+deb13u1")
    for name in SERVER_PACKAGES:
        assert f" {name}=17.11-0+deb13u1 " in text
    assert text.count("17.11") == len(SERVER_PACKAGES)
    assert "=17" not in dockerfile()


def test_the_image_installs_exactly_the_package_list() -> None:
    text = dockerfile()
    assert packages()
    for package in packages():
        assert f"      {package} \\\n" in text
