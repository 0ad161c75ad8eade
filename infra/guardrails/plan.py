"""A plan: what a stack wants to exist, from the engine's preview, its state or a policy pack."""

from __future__ import annotations

import base64
import binascii
import gzip
import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import yaml

Props = Mapping[str, Any]

UNKNOWN = frozenset(
    {
        "04da6b54-80e4-46f7-96ec-b56ff0331ba9",  # text
        "1c4a061d-8072-4f0a-a4cb-0ff528b18fe7",  # boolean
        "3eeb2bf0-c639-47a8-9e75-3b44932eb421",  # number
        "6a19a0b0-7e62-4c92-b797-7f8e31da9cc2",  # list
        "dd056dcd-154b-4c76-9bd3-c8f88648b5ff",  # object
    }
)
"""What Pulumi writes for values that only the update will know."""

MACHINES = ("aws:ec2/instance:Instance", "pulumi-python:dynamic/local:Machine")
LOADER = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
ABSENT = object()


@dataclass(frozen=True)
class Resource:
    """One resource of a plan."""

    urn: str
    type: str
    props: Props = field(repr=False)
    protected: bool = False
    depends: Mapping[str, Sequence[str]] = field(default_factory=dict, repr=False)
    """Property → URNs of the resources that its value comes from."""
    default_tags: Mapping[str, str] = field(default_factory=dict, repr=False)
    """What its provider adds to its tags: a preview does not say it of the resource itself."""

    @property
    def name(self) -> str:
        """Its name in the program."""
        return self.urn.rpartition("::")[2]

    @property
    def label(self) -> str:
        """How a person finds it: `Bucket backups`."""
        return f"{self.type.rpartition(':')[2]} {self.name}"

    def get(self, path: str, default: Any = None) -> Any:
        """The value at a dotted path; `default` where there is none."""
        value: Any = self.props
        for part in path.split("."):
            value = value.get(part, ABSENT) if isinstance(value, Mapping) else ABSENT
            if value is ABSENT:
                return default
        return default if value is None else value

    def is_unknown(self, path: str) -> bool:
        """Whether the value, or a block that it is in, is known to the update only."""
        parts = path.split(".")
        heads = (".".join(parts[:n]) for n in range(1, len(parts) + 1))
        values = [self.get(head) for head in heads]
        return any(isinstance(value, str) and value in UNKNOWN for value in values)


@dataclass(frozen=True)
class Plan:
    """All resources of one stack."""

    resources: tuple[Resource, ...]

    def of(self, *types: str) -> list[Resource]:
        """The resources of some types."""
        return [each for each in self.resources if each.type in types]

    def behind(self, resource: Resource, prop: str, *types: str) -> list[Resource]:
        """The resources of some types that a property of `resource` comes from."""
        urns = set(resource.depends.get(prop, ()))
        return [each for each in self.of(*types) if each.urn in urns]

    def machines(self) -> Iterator[tuple[Resource, dict[str, str]]]:
        """Every machine with the files that its user-data writes: path → content."""
        for each in self.of(*MACHINES):
            text = user_data(each)
            yield each, written_files(text) if text else {}

    def role(self, files: Mapping[str, str]) -> str:
        """What a machine with these files does: such as `database`."""
        facts = json.loads(files.get("/etc/guestcomms/machine.json", "{}"))
        return str(facts.get("role", ""))

    def database_machines(self) -> list[tuple[Resource, dict[str, str]]]:
        """The machines that hold the database."""
        return [(each, files) for each, files in self.machines() if self.role(files) == "database"]


def user_data(machine: Resource) -> str:
    """A machine's user-data in clear; empty where it is not known or not there."""
    for name in ("user_data", "userData", "userDataBase64"):
        text = machine.get(name)
        if not isinstance(text, str) or text in UNKNOWN:
            continue
        return _unpacked(text) if name == "userDataBase64" else text
    return ""


@lru_cache(maxsize=64)
def _unpacked(text: str) -> str:
    try:
        raw = base64.b64decode(text, validate=True)
        return (gzip.decompress(raw) if raw[:2] == b"\x1f\x8b" else raw).decode()
    except (binascii.Error, OSError, UnicodeDecodeError) as error:
        raise ValueError(f"user-data is no base64 of text or of gzip: {error}") from None


@lru_cache(maxsize=64)  # every rule asks, and YAML is slow
def written_files(text: str) -> dict[str, str]:
    """The files that cloud-init writes."""
    document = yaml.load(text, Loader=LOADER)  # noqa: S506 - both are safe loaders
    entries = document.get("write_files", []) if isinstance(document, dict) else []
    return {entry["path"]: str(entry["content"]) for entry in entries}


def from_preview(preview: Mapping[str, Any]) -> Plan:
    """The plan that `pulumi preview --json` prints: what will exist, new or as it is."""
    states = [step["newState"] for step in preview.get("steps", []) if step.get("newState")]
    return from_state(states)


def from_state(states: Iterable[Mapping[str, Any]]) -> Plan:
    """The plan of resources in the form of Pulumi's state (`pulumi stack export`)."""
    states = list(states)
    providers = {
        state["urn"]: default_tags(plain(state.get("inputs") or {}))
        for state in states
        if state["type"].startswith("pulumi:providers:")
    }
    return Plan(
        tuple(
            Resource(
                urn=state["urn"],
                type=state["type"],
                props={**plain(state.get("inputs") or {}), **plain(state.get("outputs") or {})},
                protected=bool(state.get("protect")),
                depends=state.get("propertyDependencies") or {},
                # A provider is named by its URN and its id.
                default_tags=providers.get(state.get("provider", "").rpartition("::")[0], {}),
            )
            for state in states
            if not state.get("delete")
        )
    )


def default_tags(provider: Props) -> Mapping[str, str]:
    """The tags that a provider gives to everything; a nested setting of it is JSON in a string."""
    block = provider.get("defaultTags")
    if isinstance(block, str) and block not in UNKNOWN:
        block = json.loads(block)
    tags = block.get("tags") if isinstance(block, Mapping) else None
    return dict(tags) if isinstance(tags, Mapping) else {}


SPECIAL = "4dabf18193072939515e22adb298388d"
"""The key by which Pulumi tells special values in a state from ordinary objects."""
SECRET = "1b47061264138c4ac30d75fd1eb44270"  # noqa: S105 - the mark, not a secret


def plain(value: Any) -> Any:
    """A value of the state; of secrets what is shown of them, else `[secret]`."""
    if isinstance(value, Mapping):
        if value.get(SPECIAL) == SECRET:
            return json.loads(value["plaintext"]) if "plaintext" in value else "[secret]"
        return {key: plain(each) for key, each in value.items()}
    return [plain(each) for each in value] if isinstance(value, list) else value
