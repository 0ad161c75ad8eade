"""Commands through Systems Manager: botocore checks every call against AWS's own model."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import boto3
import pytest
from botocore.stub import Stubber

from infra.aws import ssm
from infra.aws.ssm import OUTPUT_LIMIT, SsmChannel
from infra.dynamic import PlaceError

INSTANCE, COMMAND = "i-0123456789abcdef0", "12345678-1234-1234-1234-123456789012"


CLIENT = boto3.client(
    "ssm", region_name="eu-central-1", aws_access_key_id="x", aws_secret_access_key="x"
)


@pytest.fixture
def stub() -> Iterator[Stubber]:
    with Stubber(CLIENT) as stubber:
        yield stubber
        stubber.assert_no_pending_responses()


def _channel() -> SsmChannel:
    return SsmChannel(CLIENT, INSTANCE, pause_seconds=0)


def _sent(stub: Stubber, line: str) -> None:
    stub.add_response(
        "send_command",
        {"Command": {"CommandId": COMMAND}},
        {
            "InstanceIds": [INSTANCE],
            "DocumentName": "AWS-RunShellScript",
            "Parameters": {"commands": [line], "executionTimeout": ["3600"]},
            "TimeoutSeconds": 60,
            "Comment": "guestcomms",
        },
    )


def _answered(stub: Stubber, status: str, code: int = 0, out: str = "", err: str = "") -> None:
    answer: dict[str, Any] = {
        "Status": status, "ResponseCode": code,
        "StandardOutputContent": out, "StandardErrorContent": err,
    }  # fmt: skip
    stub.add_response(
        "get_command_invocation", answer, {"CommandId": COMMAND, "InstanceId": INSTANCE}
    )


def test_a_command_is_quoted_and_its_end_comes_back(stub: Stubber) -> None:
    _sent(stub, "echo 'it is; done'")
    _answered(stub, "InProgress", -1)
    _answered(stub, "Failed", 3, "out", "err")
    answer = _channel().run("echo", "it is; done")
    assert (answer.code, answer.output, answer.errors) == (3, "out", "err")


def test_a_command_that_is_not_known_yet_is_asked_for_again(stub: Stubber) -> None:
    _sent(stub, "true")
    stub.add_client_error("get_command_invocation", "InvocationDoesNotExist")
    _answered(stub, "Success")
    assert _channel().run("true").code == 0


@pytest.mark.parametrize("status", ["TimedOut", "Cancelled", "Undeliverable"])
def test_an_instance_that_never_ran_the_command_is_no_answer(stub: Stubber, status: str) -> None:
    _sent(stub, "true")
    _answered(stub, status if status != "Undeliverable" else "Failed", -1)
    with pytest.raises(PlaceError, match="does not answer Systems Manager"):
        _channel().run("true")


def test_an_instance_that_is_unknown_is_named(stub: Stubber) -> None:
    stub.add_client_error("send_command", "InvalidInstanceId", "not in a valid state")
    with pytest.raises(PlaceError, match=f"{INSTANCE}.*InvalidInstanceId"):
        _channel().run("true")


def test_output_that_systems_manager_cuts_is_an_error(stub: Stubber) -> None:
    _sent(stub, "cat")
    _answered(stub, "Success", out="x" * OUTPUT_LIMIT)
    with pytest.raises(PlaceError, match="more than the 24000"):
        _channel().run("cat")


def test_the_program_ends_as_the_command_ended(
    stub: Stubber, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(ssm, "client", lambda _region: CLIENT)
    monkeypatch.setattr("sys.stdin", io.StringIO())
    _sent(stub, "ls -l")
    _answered(stub, "Failed", 2, "listing", "trouble")
    assert ssm.main(["--region", "eu-central-1", INSTANCE, "ls", "-l"]) == 2
    assert capsys.readouterr() == ("listing", "trouble")
