"""A run that is killed in its middle: what it left is found, taken over or removed."""

import subprocess
import time

import pytest
from docker.errors import NotFound

from tests.ops.local.stack import PulumiError, Stack, changes, kill_session

pytestmark = pytest.mark.timeout(600)


def kill_while_machines_boot(stack: Stack) -> None:
    """Kill pulumi as soon as both machines run, before either is in the state."""
    process = stack.start("up", "--yes", "--skip-preview")
    try:
        for machine in ("proxy-1", "drill-1"):
            wait_until_running(stack, machine, process)
    finally:
        process.kill()
        kill_session(process)


def wait_until_running(stack: Stack, machine: str, process: subprocess.Popen[bytes]) -> None:
    while process.poll() is None:
        try:
            if stack.container(machine).status == "running":
                return
        except NotFound:
            pass
        time.sleep(0.1)
    pytest.fail("pulumi ended before it could be killed")


def recover(stack: Stack) -> str:
    """The documented commands after a kill."""
    stack.pulumi("cancel", "--yes")
    output = stack.up()
    stack.pulumi("refresh", "--yes", "--clear-pending-creates")
    return output


def test_documented_commands_recover(empty_stack: Stack) -> None:
    kill_while_machines_boot(empty_stack)
    with pytest.raises(PulumiError, match="pulumi cancel"):
        empty_stack.up()
    recover(empty_stack)
    empty_stack.pulumi("up", "--yes", "--expect-no-changes")
    for machine in ("proxy-1", "drill-1"):
        assert empty_stack.container(machine).status == "running"


def test_machine_that_had_booted_is_taken_over(stack: Stack) -> None:
    kept = stack.container("drill-1").id
    resources = stack.exported()["deployment"]["resources"]
    urns = [each["urn"] for each in resources if each["urn"].endswith("Machine::drill-1")]
    stack.pulumi("state", "delete", *urns, "--yes")
    assert changes(stack.up()) == ["+ 1 created"]
    assert stack.container("drill-1").id == kept


def test_destroy_removes_what_never_reached_the_state_and_nothing_of_another_clone(
    stack: Stack, empty_stack: Stack
) -> None:
    others = stack.objects()
    kill_while_machines_boot(empty_stack)
    empty_stack.pulumi("cancel", "--yes")
    empty_stack.pulumi("destroy", "--yes")
    assert empty_stack.objects() == set()
    assert stack.objects() == others
    stack.refresh()
    stack.pulumi("up", "--yes", "--expect-no-changes")
