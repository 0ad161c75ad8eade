"""The provider that the real Pulumi engine runs in place of the AWS plugin."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import empty_pb2, json_format, struct_pb2
from pulumi.runtime.proto import plugin_pb2, provider_pb2, provider_pb2_grpc

from tests.fake_aws import lifecycle
from tests.fake_aws.calls import NoRuleError
from tests.fake_aws.hosts.machines import Hosts
from tests.fake_aws.kinds import KINDS
from tests.fake_aws.lookups import LOOKUPS
from tests.fake_aws.model import Kind, Props
from tests.fake_aws.service import Refused
from tests.fake_aws.world import World

FOLDER = "GUESTCOMMS_FAKE_AWS"
"""The environment variable that names the world's folder."""
PLUGIN_VERSION = "7.51.1"

Handler = Callable[[Any, Any, grpc.ServicerContext], Any]


def _answering(handler: Handler) -> Handler:
    """Give the engine a refusal as an error of the resource, in AWS's words."""

    @wraps(handler)
    def wrapped(self: Any, request: Any, context: grpc.ServicerContext) -> Any:
        try:
            return handler(self, request, context)
        except Refused as error:
            context.abort(grpc.StatusCode.INVALID_ARGUMENT, f"api error {error}")
        except NoRuleError as error:
            context.abort(grpc.StatusCode.UNIMPLEMENTED, f"the simulated AWS: {error}")

    return wrapped


class FakeAws(provider_pb2_grpc.ResourceProviderServicer):
    """One configured provider: a region and default tags over the shared world."""

    def __init__(self) -> None:
        self.folder = Path(os.environ[FOLDER])
        self.region = "us-east-1"
        self.default_tags: dict[str, str] = {}
        self.hosts = Hosts(self.folder)

    def GetPluginInfo(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return plugin_pb2.PluginInfo(version=PLUGIN_VERSION)

    def CheckConfig(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return provider_pb2.CheckResponse(inputs=request.news)

    def DiffConfig(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return provider_pb2.DiffResponse()

    def Configure(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        config = {key: _parsed(value) for key, value in _props(request.args).items()}
        self.region = config.get("region") or os.environ.get("AWS_REGION") or self.region
        self.default_tags = (config.get("defaultTags") or {}).get("tags", {})
        return provider_pb2.ConfigureResponse(supportsPreview=True)

    @_answering
    def Check(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        kind, props = _kind(request.urn), _props(request.news)
        name = request.urn.rpartition("::")[2]
        olds = _props(request.olds)
        inputs = lifecycle.with_defaults(kind, props, olds, name, request.randomSeed.hex())
        failures = []
        try:
            lifecycle.check(kind, inputs, self.region, self.default_tags)
        except (Refused, NoRuleError) as error:
            failures.append(provider_pb2.CheckFailure(reason=str(error)))
        return provider_pb2.CheckResponse(inputs=_struct(inputs), failures=failures)

    @_answering
    def Diff(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        kind = _kind(request.urn)
        changed, replaced = lifecycle.diff(
            kind, _props(request.old_inputs), _props(request.news), request.ignoreChanges
        )
        some = provider_pb2.DiffResponse.DIFF_SOME
        none = provider_pb2.DiffResponse.DIFF_NONE
        return provider_pb2.DiffResponse(
            changes=some if changed else none, diffs=changed, replaces=replaced
        )

    @_answering
    def Create(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        kind, props = _kind(request.urn), _props(request.properties)
        where = self._where(request.urn)
        if request.preview:
            with World.planned(self.folder, os.getppid()) as plan:
                item = lifecycle.create(plan, kind, props, where, preview=True)
            return provider_pb2.CreateResponse(id="", properties=_struct(item.state()))
        with World.changing(self.folder) as world:
            item = lifecycle.create(world, kind, props, where)
        self.hosts.made(item)
        return provider_pb2.CreateResponse(id=item.id, properties=_struct(item.state()))

    @_answering
    def Update(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        kind, props = _kind(request.urn), _props(request.news)
        where = self._where(request.urn)
        planned = World.planned(self.folder, os.getppid())
        with planned if request.preview else World.changing(self.folder) as world:
            item = lifecycle.update(world, kind, request.id, props, where)
        if not request.preview:
            self.hosts.made(item)
        return provider_pb2.UpdateResponse(properties=_struct(item.state()))

    @_answering
    def Read(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        kind = _kind(request.urn)
        item = lifecycle.read(World(self.folder), kind, request.id)
        if item is None:
            return provider_pb2.ReadResponse()
        return provider_pb2.ReadResponse(
            id=item.id, properties=_struct(item.state()), inputs=_struct(item.inputs)
        )

    @_answering
    def Delete(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        item = lifecycle.read(World(self.folder), _kind(request.urn), request.id)
        if item is not None:
            self.hosts.ends(item)
        with World.changing(self.folder) as world:
            lifecycle.delete(world, _kind(request.urn), request.id, _props(request.properties))
        return empty_pb2.Empty()

    @_answering
    def Invoke(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        lookup = LOOKUPS.get(request.tok)
        if lookup is None:
            raise NoRuleError(f"no rule for the look-up {request.tok}: add it to lookups.py")
        found = lookup(World(self.folder), self.region, _props(request.args))
        return provider_pb2.InvokeResponse(**{"return": _struct(found)})

    def Cancel(self, request: Any, context: Any) -> Any:  # noqa: ARG002, N802
        return empty_pb2.Empty()

    def _where(self, urn: str) -> lifecycle.Where:
        return lifecycle.Where(urn, self.region, self.default_tags)


def _kind(urn: str) -> Kind:
    token = urn.split("::")[-2].rpartition("$")[2]
    kind = KINDS.get(token)
    if kind is None:
        raise NoRuleError(f"no rule for the resource type {token}: add it to kinds/")
    return kind


def _props(struct: struct_pb2.Struct) -> Props:
    """A message's values, whole numbers as int."""
    return dict(_whole(json_format.MessageToDict(struct)))


def _whole(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _whole(each) for key, each in value.items() if not key.startswith("__")}
    if isinstance(value, list):
        return [_whole(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _struct(props: Props) -> struct_pb2.Struct:
    struct = struct_pb2.Struct()
    struct.update(props)
    return struct


def _parsed(value: Any) -> Any:
    """A configuration value: nested ones arrive as JSON in a string."""
    if isinstance(value, str) and value[:1] in {"{", "["}:
        return json.loads(value)
    return value


def main() -> None:
    """Serve until the engine ends this process; the port is what the engine reads."""
    from concurrent.futures import ThreadPoolExecutor

    largest = 400 << 20  # what Pulumi's own plugins accept
    options = [("grpc.max_receive_message_length", largest)]
    server = grpc.server(ThreadPoolExecutor(8), options=options)
    provider_pb2_grpc.add_ResourceProviderServicer_to_server(FakeAws(), server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    sys.stdout.write(f"{port}\n")
    sys.stdout.flush()
    server.wait_for_termination()
