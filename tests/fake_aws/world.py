"""The world behind the simulated API: what exists, kept in a file that several plugins share."""

from __future__ import annotations

import fcntl
import hashlib
import json
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from tests.fake_aws.model import Props, Ref
from tests.fake_aws.service import UNKNOWN, Refused

ACCOUNT = "123456789012"
PARTITION = "aws"


@dataclass
class Item:
    """One thing that exists (or is about to): what was asked for and what AWS made of it."""

    token: str
    id: str
    region: str
    inputs: Props
    outputs: Props = field(default_factory=dict)
    urn: str = ""
    """The resource of the program that made it."""
    owner: str = ""
    """The id of the thing that this one came and goes with."""
    refs: list[tuple[str, str, str]] = field(default_factory=list)
    """(token, id, property) of everything that it refers to and that must stay."""

    @property
    def key(self) -> str:
        """What tells it from everything else."""
        return f"{self.token}|{self.region}|{self.urn if self.id == UNKNOWN else self.id}"

    def get(self, name: str) -> Any:
        """A property; None where it is absent or not known yet."""
        value = self.outputs.get(name, self.inputs.get(name))
        return None if value == UNKNOWN else value

    def state(self) -> Props:
        """All properties as the provider reports them."""
        return {**self.inputs, **self.outputs}


class World:
    """Everything that exists. Open one with `World.changing` to change it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.items: dict[str, Item] = {}
        self.counter = 0
        if self._file.exists():
            found = json.loads(self._file.read_text(encoding="utf-8"))
            self.counter = found["counter"]
            self.items = {key: Item(**value) for key, value in found["items"].items()}

    @property
    def _file(self) -> Path:
        return self.folder / "world.json"

    @classmethod
    @contextmanager
    def changing(cls, folder: Path) -> Iterator[World]:
        """Hold the world alone; what was changed is kept unless an error is raised."""
        folder.mkdir(parents=True, exist_ok=True)
        with (folder / "lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            world = cls(folder)
            yield world
            world.save()

    @classmethod
    @contextmanager
    def planned(cls, folder: Path, run: int) -> Iterator[World]:
        """Hold the world as one run's preview has imagined it so far; the real one stays.

        Parameters:
            folder: the world's.
            run: the engine's process id: all plugins of a run share one plan.
        """
        folder.mkdir(parents=True, exist_ok=True)
        plan = folder / f"plan-{run}"
        with (folder / "planning").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # or one plugin would take away what another begins
            if not plan.exists():
                for old in folder.glob("plan-*"):
                    shutil.rmtree(old)
                plan.mkdir()
                for name in ("world.json", "images.json"):
                    if (folder / name).exists():
                        shutil.copyfile(folder / name, plan / name)
        with cls.changing(plan) as world:
            yield world

    def forget(self, urn: str) -> None:
        """Take out what a resource had made: a plan in which it is made anew."""
        self.items = {key: item for key, item in self.items.items() if item.urn != urn}

    def save(self) -> None:
        """Write the file, whole or not at all."""
        items = {key: asdict(item) for key, item in self.items.items()}
        scratch = self._file.with_suffix(".new")
        scratch.write_text(json.dumps({"counter": self.counter, "items": items}, indent=1))
        scratch.replace(self._file)

    def hex(self, length: int = 17) -> str:
        """A new identifier, the same one in every run of the same program."""
        self.counter += 1
        return hashlib.sha256(f"guestcomms {self.counter}".encode()).hexdigest()[:length]

    def of(self, *tokens: str, region: str | None = None) -> list[Item]:
        """Everything of some kinds, in one region or in all."""
        return [
            item
            for item in self.items.values()
            if item.token in tokens and region in {None, item.region}
        ]

    def find(self, tokens: tuple[str, ...], key: str, value: str) -> Item | None:
        """The thing whose property `key` has a value; none for an unknown one."""
        if value == UNKNOWN:
            return None
        for item in self.of(*tokens):
            if (item.id if key == "id" else item.get(key)) == value:
                return item
        return None

    def must_find(self, ref: Ref, value: str) -> Item:
        """Raises `Refused` when nothing has that identifier."""
        found = self.find(ref.kinds, ref.key, value)
        if found is None:
            kinds = " or ".join(kind.rpartition(":")[2] for kind in ref.kinds)
            raise Refused(ref.code, f"{ref.path}: there is no {kinds} with {ref.key} {value!r}")
        return found

    def add(self, item: Item) -> None:
        """Put a thing into the world."""
        self.items[item.key] = item

    def remove(self, item: Item) -> None:
        """Take a thing and what came with it out of the world.

        Raises:
            Refused: something else refers to it.
        """
        gone = [item, *(each for each in self.items.values() if each.owner == item.id)]
        for each in gone:
            self._refuse_while_used(each, {other.key for other in gone})
        for each in gone:
            self.items.pop(each.key, None)

    def _refuse_while_used(self, item: Item, leaving: set[str]) -> None:
        users = [
            f"{other.token.rpartition(':')[2]} {other.id} ({path})"
            for other in self.items.values()
            if other.key not in leaving
            for token, ident, path in other.refs
            if (token, ident) == (item.token, item.id)
        ]
        if users:
            raise Refused(
                "DependencyViolation",
                f"{item.token.rpartition(':')[2]} {item.id} is in use by {', '.join(users)}",
            )

    def log(self, operation: str, item: Item, params: Props) -> None:
        """Remember a call that was accepted: what it did, to what, and whose that is."""
        line = {
            "at": time.time(),
            "call": operation,
            "about": item.urn.rpartition("::")[2] or item.id,
            "resource": self._resource(item),
            "tags": item.get("tagsAll") or {},
            "parameters": params,
        }
        with (self.folder / "calls.jsonl").open("a", encoding="utf-8") as file:
            file.write(json.dumps(line, default=repr) + "\n")

    def _resource(self, item: Item) -> str:
        """The ARN that IAM judges a call about a thing by; a setting is its owner's."""
        if found := item.get("arn"):
            return str(found)
        if bucket := item.get("bucket"):
            return f"arn:{PARTITION}:s3:::{bucket}"
        for role in self.items.values():
            if item.get("role") and role.get("name") == item.get("role"):
                return str(role.get("arn"))
        return ""


def values_at(value: Any, path: str) -> Iterator[str]:
    """Every text at a path, through lists; absent and unknown ones are left out."""
    if isinstance(value, list):
        for each in value:
            yield from values_at(each, path)
    elif path:
        head, _, rest = path.partition(".")
        if isinstance(value, dict) and head in value:
            yield from values_at(value[head], rest)
    elif isinstance(value, str) and value not in {"", UNKNOWN}:
        yield value
