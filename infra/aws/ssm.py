"""Commands to machines through Systems Manager: there is no SSH, and no way in from outside.

A program too, `guestcomms-ssm`, which the stack's outputs name as the way to each machine: it runs
one command as root, prints what it prints and ends as it ends.
"""

from __future__ import annotations

import argparse
import functools
import json
import os
import shlex
import shutil
import sys
import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

import boto3
from botocore.exceptions import BotoCoreError, ClientError

from infra.dynamic import PlaceError
from infra.gate import Answer

if TYPE_CHECKING:
    from mypy_boto3_ssm import SSMClient

DOCUMENT = "AWS-RunShellScript"
OUTPUT_LIMIT = 24_000
"""Characters of output that Systems Manager hands back.
Source: https://docs.aws.amazon.com/systems-manager/latest/APIReference/API_GetCommandInvocation.html"""

DELIVERY_SECONDS = 60
"""How long an agent may take to fetch a command before it counts as unreachable."""
COMMAND_SECONDS = 3600
UNDER_WAY = ("Pending", "InProgress", "Delayed", "Cancelling")


@functools.cache
def client(region: str) -> SSMClient:
    """The connection to Systems Manager of a region, with whatever credentials the person has."""
    return boto3.client("ssm", region_name=region)


class SsmChannel:
    """Commands to one instance, through Run Command."""

    def __init__(
        self,
        ssm: SSMClient,
        instance_id: str,
        *,
        pause_seconds: float = 1.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ssm, self._instance_id = ssm, instance_id
        self._pause, self._clock = pause_seconds, clock

    def run(self, *command: str) -> Answer:
        """Run a command as root.

        Raises:
            PlaceError: Systems Manager refuses, the instance does not answer, or its output is
                longer than Systems Manager hands back.
        """
        try:
            sent = self._ssm.send_command(
                InstanceIds=[self._instance_id],
                DocumentName=DOCUMENT,
                Parameters={
                    "commands": [shlex.join(command)],
                    "executionTimeout": [str(COMMAND_SECONDS)],
                },
                TimeoutSeconds=DELIVERY_SECONDS,
                Comment="guestcomms",
            )
            return self._answer(sent["Command"]["CommandId"])
        except (ClientError, BotoCoreError) as error:
            raise PlaceError(f"instance {self._instance_id}: {error}") from error

    def _answer(self, command_id: str) -> Answer:
        give_up = self._clock() + DELIVERY_SECONDS + COMMAND_SECONDS
        while self._clock() < give_up:
            try:
                found = self._ssm.get_command_invocation(
                    CommandId=command_id, InstanceId=self._instance_id
                )
            except self._ssm.exceptions.InvocationDoesNotExist:
                # Right after it was sent a command is not yet known everywhere.
                time.sleep(self._pause)
                continue
            if found["Status"] in UNDER_WAY:
                time.sleep(self._pause)
                continue
            if found["Status"] not in ("Success", "Failed") or found["ResponseCode"] < 0:
                break
            output = found["StandardOutputContent"]
            if len(output) >= OUTPUT_LIMIT:
                raise PlaceError(
                    f"instance {self._instance_id} printed more than the {OUTPUT_LIMIT} characters"
                    " that Systems Manager hands back; ask for less"
                )
            return Answer(found["ResponseCode"], output, found["StandardErrorContent"])
        raise PlaceError(
            f"instance {self._instance_id} does not answer Systems Manager: it is still booting, or"
            " its SSM agent cannot reach the endpoints; `aws ssm describe-instance-information`"
            " shows when it was last seen"
        )


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command on one instance; return how it ended, or 255 if it did not run."""
    parser = argparse.ArgumentParser(
        prog="guestcomms-ssm", description="Run a command on an instance, through Systems Manager."
    )
    parser.add_argument("--region", required=True)
    parser.add_argument(
        "--terminal", action="store_true", help="with a terminal (needs AWS CLI and its plugin)"
    )
    parser.add_argument("instance", help="instance id")
    parser.add_argument("command", nargs=argparse.REMAINDER)
    chosen = parser.parse_args(arguments)
    if not chosen.command:
        parser.error("no command given")
    if chosen.terminal:
        return _become_session(chosen.region, chosen.instance, chosen.command)
    command = _with_stdin(chosen.command)
    try:
        answer = SsmChannel(client(chosen.region), chosen.instance).run(*command)
    except PlaceError as error:
        sys.stderr.write(f"{error}\n")
        return 255
    sys.stdout.write(answer.output)
    sys.stderr.write(answer.errors)
    return answer.code


def _with_stdin(command: Sequence[str]) -> Sequence[str]:
    """Refuse input: Run Command has none, and what is in its parameters stays in its history."""
    if not sys.stdin.isatty() and sys.stdin.read(1):
        sys.stderr.write("Systems Manager passes no standard input to a command.\n")
        raise SystemExit(2)
    return command


def _become_session(region: str, instance: str, command: Sequence[str]) -> int:
    """Become a session of the AWS CLI, which draws on a terminal of its own."""
    for program in ("aws", "session-manager-plugin"):
        if shutil.which(program) is None:
            sys.stderr.write(
                f"`{program}` is not installed: sessions with a terminal need the AWS CLI and its"
                " Session Manager plugin (docs/how-to/deploy-on-aws.md).\n"
            )
            return 255
    parameters = json.dumps({"command": [f"sudo {shlex.join(command)}"]})
    os.execvp(
        "aws",
        [
            "aws", "ssm", "start-session", "--region", region, "--target", instance,
            "--document-name", "AWS-StartInteractiveCommand", "--parameters", parameters,
        ],
    )  # fmt: skip
    raise AssertionError("execvp does not return")


if __name__ == "__main__":
    raise SystemExit(main())
