"""Machines of the place `local`: made, looked at, changed and repaired by the real engines."""

import json

import pytest

from tests.ops.local.stack import Stack, changes

MACHINES = ("proxy-1", "drill-1")


def test_up_again_changes_nothing(stack: Stack) -> None:
    assert changes(stack.refresh()) == []
    stack.pulumi("up", "--yes", "--expect-no-changes")


@pytest.mark.parametrize("machine", MACHINES)
def test_machine_boots_without_a_failed_unit(stack: Stack, machine: str) -> None:
    failed = stack.run(machine, "systemctl", "list-units", "--failed", "--no-legend", "--plain")
    prepared = stack.run(machine, "systemctl", "is-active", "guestcomms-prepare.service")
    assert (failed.output, prepared.output.strip()) == ("", "active")


@pytest.mark.parametrize(
    ("path", "expected"),
    [
        ("/etc/guestcomms/place.json", "644 root:root"),
        ("/etc/guestcomms/secrets", "700 root:root"),
        ("/etc/guestcomms/secrets/machine.key", "600 root:root"),
        ("/opt/guestcomms/agent.pyz", "755 root:root"),
        ("/var/lib/cloud/seed/nocloud/user-data", "600 root:root"),
    ],
)
def test_delivered_file_belongs_to_root(stack: Stack, path: str, expected: str) -> None:
    assert stack.run("drill-1", "stat", "-c", "%a %U:%G", path).output.strip() == expected


def test_machine_has_its_name_address_and_limits(stack: Stack) -> None:
    assert stack.run("drill-1", "hostname").output.strip() == "drill-1"
    place = json.loads(stack.run("drill-1", "cat", "/etc/guestcomms/place.json").output)
    address = stack.run("drill-1", "hostname", "-I").output.strip()
    assert place["machines"]["drill-1"] == address
    assert place["repository"]["port"] == 8333
    limits = stack.container("drill-1").attrs["HostConfig"]
    assert limits["Memory"] == limits["MemorySwap"] == 256 << 20
    assert (limits["CpuQuota"] / limits["CpuPeriod"], limits["Privileged"]) == (0.5, False)


def test_port_is_published_on_the_loopback_alone(stack: Stack) -> None:
    ports = stack.container("proxy-1").attrs["NetworkSettings"]["Ports"]
    published = [{"HostIp": "127.0.0.1", "HostPort": str(stack.settings["port"])}]
    assert ports == {"5432/tcp": published}


def test_deleted_container_alone_comes_back(stack: Stack) -> None:
    kept = stack.container("proxy-1").id
    stack.container("drill-1").remove(force=True)
    stack.refresh()
    assert changes(stack.up()) == ["+ 1 created"]
    assert stack.container("proxy-1").id == kept
    assert stack.container("drill-1").status == "running"


@pytest.mark.parametrize("verb", ["stop", "pause"])
def test_container_that_does_not_run_runs_again(stack: Stack, verb: str) -> None:
    container = stack.container("drill-1")
    getattr(container, verb)()
    stack.refresh()
    assert changes(stack.up()) == ["~ 1 updated"]
    assert stack.container("drill-1").id == container.id
    assert stack.container("drill-1").status == "running"


def test_limits_changed_by_hand_are_found_and_set_back(stack: Stack) -> None:
    stack.container("drill-1").update(mem_limit="300m", memswap_limit="300m")
    stack.refresh()
    assert changes(stack.up()) == ["~ 1 updated"]
    assert stack.container("drill-1").attrs["HostConfig"]["Memory"] == 256 << 20


def test_size_and_place_change_in_place(stack: Stack) -> None:
    ids = [stack.container(machine).id for machine in MACHINES]
    stack.change(memory_mib=320, store_port=8334)
    assert changes(stack.up()) == ["~ 2 updated"]
    assert [stack.container(machine).id for machine in MACHINES] == ids
    assert stack.container("drill-1").attrs["HostConfig"]["Memory"] == 320 << 20
    rendered = stack.run("drill-1", "cat", "/etc/pgbackrest/conf.d/repository.conf").output
    assert "repo1-storage-port=8334" in rendered  # the agent's `prepare` has run again
    stack.pulumi("up", "--yes", "--expect-no-changes")


def test_other_user_data_makes_the_machine_anew_and_keeps_its_volume(stack: Stack) -> None:
    before = stack.container("drill-1").id
    instance = stack.run("drill-1", "cat", "/var/lib/cloud/data/instance-id").output
    stack.run("drill-1", "sh", "-c", "echo data > /var/lib/kept/data; echo lost > /root/lost")
    stack.change(comment="# other\n")
    assert changes(stack.up()) == ["+-2 replaced"]
    assert stack.container("drill-1").id != before
    assert stack.run("drill-1", "cat", "/var/lib/cloud/data/instance-id").output != instance
    assert stack.run("drill-1", "cat", "/var/lib/kept/data").output == "data\n"
    assert stack.run("drill-1", "test", "-e", "/root/lost").code == 1


def test_image_that_is_gone_is_made_again(stack: Stack) -> None:
    tag = stack.container("drill-1").attrs["Config"]["Image"]
    copy = stack.docker.images.get(tag)
    stack.docker.api.remove_image(tag, force=True)
    try:
        stack.refresh()
        assert "Image" in stack.pulumi("preview")
    finally:
        copy.tag(tag)
    assert changes(stack.up()) == ["+ 1 created"]
