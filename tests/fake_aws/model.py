"""How a resource type of pulumi-aws is described: the calls it stands for, and its rules.

An entry is data. What the entries have in common (mapping properties to parameters, references,
replacement, deletion with dependents) is in `calls.py` and `world.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from tests.fake_aws.world import Item, World

Props = dict[str, Any]
Make = Callable[["World", "Item"], Any]
"""Makes the value of an output once the item has its id."""
Check = Callable[["World", "Item"], None]
"""Raises `Refused` when the world does not admit the item; unknown properties are absent."""


@dataclass(frozen=True)
class Call:
    """An API call: its operation, and how properties become its parameters.

    A property goes to the parameter of the same name (case and a plural s aside) unless `names`
    says otherwise.
    """

    operation: str
    """Service and operation, such as `ec2:CreateVpc`."""
    names: Mapping[str, str] = field(default_factory=dict)
    """Property or nested key (`block.key`) → path of the parameter, such as `Options.Name`."""
    fixed: Mapping[str, Any] = field(default_factory=dict)
    """Parameters that the provider adds; `{id}` and the like are filled in."""
    only: tuple[str, ...] = ()
    """The properties of a call after the first; it is made when one of them is given."""
    each: str | None = None
    """The property of `only` whose every entry is a call of its own."""


@dataclass(frozen=True)
class Ref:
    """A property that names another thing of the world."""

    path: str
    """`subnetId`, or `vpcConfig.subnetIds` through blocks and lists alike."""
    kinds: tuple[str, ...]
    key: str = "id"
    """Which output of the other thing the property holds."""
    code: str = "ResourceNotFoundException"
    """AWS's error code when there is none such."""
    blocks: bool = True
    """Whether AWS refuses to delete the other thing while this one refers to it."""


@dataclass(frozen=True)
class Kind:
    """A resource type."""

    token: str
    calls: tuple[Call, ...]
    id: str
    """Template of the id; `{hex}` is new for every thing."""
    replace: frozenset[str] = frozenset()
    """Properties whose change makes a new thing. Where all do: `ALL`."""
    replace_when: Callable[[Props, Props], set[str]] | None = None
    """Further properties that take a new thing, by old and new inputs."""
    update: str | None = None
    """The operation that changes all other properties; None: nothing changes in place."""
    local: frozenset[str] = frozenset()
    """Properties that only Pulumi's provider knows: no parameter of any call."""
    outputs: Mapping[str, str | Make] = field(default_factory=dict)
    """Computed outputs: templates or functions."""
    refs: tuple[Ref, ...] = ()
    unique: tuple[tuple[str, ...], ...] = ()
    """Properties that together may stand only once in a region."""
    taken: str = "ResourceAlreadyExistsException"
    """AWS's error code when they stand already."""
    autoname: str | None = None
    """The property that the provider fills from the resource's name."""
    checks: tuple[Check, ...] = ()
    companions: Callable[[World, Item], list[Item]] | None = None
    """Things that AWS makes along with this one, and deletes with it."""
    guarded: str | None = None
    """A property that, while true, makes AWS refuse the deletion."""
    delete: str | None = None
    """The operation that deletes it; None: deleting does nothing."""


ALL = frozenset({"*"})
COMMON_LOCAL = frozenset({"region", "tagsAll"})
