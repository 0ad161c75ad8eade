"""A whole cluster, and what is wrong with a configuration that is none."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, Literal

from pydantic import BaseModel, Field, ValidationError, model_validator

from infra.spec.alerts import Alerts, Receiver, SnsReceiver
from infra.spec.fields import CONFIG_NAMESPACE, Section
from infra.spec.place import PLACES, LocalPlace, Place
from infra.spec.sections import Backup, Machines, Pooler, Postgres, Recovery

RESERVED_CONNECTIONS = 30
"""Kept out of the pools: superuser, replication, agents, exporters, migrations, a person."""


class SpecError(ValueError):
    """The stack configuration does not describe a cluster we would run."""


class ClusterSpec(Section):
    """A whole cluster. `stack` is its name; everything else comes from stack configuration."""

    stack: Annotated[str, Field(pattern=r"^[a-z][a-z0-9-]{0,30}$")]
    bootstrap: Literal["new", "restore"] = "new"
    """Start empty, or from the newest moment in a backup store that already holds the stanza."""
    machines: Machines = Machines()
    postgres: Postgres = Postgres()
    pooler: Pooler = Pooler()
    recovery: Recovery = Recovery()
    backup: Backup = Backup()
    alerts: Alerts = Alerts()
    receivers: tuple[Receiver, ...] = ()
    """Who is told of alerts, besides the record on the monitor that `guestcomms alerts` shows."""
    place: Place = LocalPlace()

    @model_validator(mode="after")
    def _proxies_fit(self) -> ClusterSpec:
        if self.place.kind == "local" and self.machines.proxies != 1:
            raise ValueError(
                f"machines.proxies is {self.machines.proxies}, but ports on 127.0.0.1 lead to one;"
                " nothing here spreads over more"
            )
        return self

    @model_validator(mode="after")
    def _pools_fit(self) -> ClusterSpec:
        allowed = self.postgres.max_connections - RESERVED_CONNECTIONS
        if self.pool_size > allowed:
            raise ValueError(
                f"pooler.pool_size is {self.pool_size}, but postgres.max_connections"
                f" {self.postgres.max_connections} leaves {allowed} to the pooler;"
                " lower the pool or raise max_connections"
            )
        return self

    @model_validator(mode="after")
    def _receivers_are_distinct(self) -> ClusterSpec:
        names = [receiver.name for receiver in self.receivers]
        if twice := sorted({name for name in names if names.count(name) > 1}):
            raise ValueError(f"receivers: {', '.join(twice)} stands there twice")
        return self

    @property
    def secret_receivers(self) -> tuple[str, ...]:
        """Names of the receivers for which `guestcomms:receiver_secrets` has to hold a secret."""
        return tuple(each.name for each in self.receivers if not isinstance(each, SnsReceiver))

    @classmethod
    def config_keys(cls) -> tuple[str, ...]:
        """The stack configuration keys, each a section of the spec."""
        return tuple(name for name in cls.model_fields if name != "stack")

    @classmethod
    def load(cls, stack: str, config: Mapping[str, Any]) -> ClusterSpec:
        """Build the spec of `stack` from its configuration, key → value.

        Raises:
            SpecError: names every wrong key, the value got and the values allowed.
        """
        try:
            return cls.model_validate({**config, "stack": stack})
        except ValidationError as error:
            raise SpecError("\n".join(_explain(item) for item in error.errors())) from None

    @property
    def database_names(self) -> tuple[str, ...]:
        """Names of the database machines, pg-1 first."""
        return tuple(f"pg-{n}" for n in range(1, self.machines.database_nodes + 1))

    @property
    def pool_size(self) -> int:
        """Server connections of each login: two a core and one more, or what the spec says.

        More only queue inside PostgreSQL: docs/performance.md has what was measured.
        https://wiki.postgresql.org/wiki/Number_Of_Database_Connections
        """
        return self.pooler.pool_size or math.ceil(2 * self.machines.database.cores) + 1

    @property
    def proxy_names(self) -> tuple[str, ...]:
        """Names of the machines that HAProxy runs on."""
        return tuple(f"proxy-{n}" for n in range(1, self.machines.proxies + 1))

    @property
    def has_store(self) -> bool:
        """Whether a machine of the cluster keeps the backups, because the place has no S3."""
        return self.place.kind == "local"


def _explain(item: Any) -> str:
    """One pydantic error as `key: what is wrong, value got, what is allowed`."""
    loc = tuple(item["loc"])
    path = ".".join(_without_kind(loc))
    key = f"{CONFIG_NAMESPACE}:{path}" if path else CONFIG_NAMESPACE
    if item["type"] == "extra_forbidden":
        return f"{key}: no such setting; known here: {', '.join(_known(loc))}"
    if item["type"] == "union_tag_invalid":
        kinds = ", ".join(repr(kind) for kind in PLACES)
        return f"{key}.kind: got {item['ctx']['tag']!r}; allowed: {kinds}"
    if item["type"] == "missing":
        return f"{key}: missing; it has no default"
    allowed = item["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    got = item["input"]
    shown = "" if isinstance(got, (Section, dict)) else f"got {got!r}; "
    return f"{key}: {shown}allowed: {allowed}" if shown else f"{key}: {allowed}"


def _without_kind(loc: tuple[str | int, ...]) -> Iterator[str]:
    """The path as it is written: pydantic puts the kind of place between its key and the rest."""
    for position, part in enumerate(loc):
        if not (position == 1 and loc[0] == "place" and part in PLACES):
            yield str(part)


def _known(loc: tuple[str | int, ...]) -> list[str]:
    """The settings that exist beside the unknown one at `loc`."""
    model: type[BaseModel] = ClusterSpec
    for part in loc[:-1]:
        if model is ClusterSpec and part == "place":
            continue
        if part in PLACES:
            model = PLACES[str(part)]
            continue
        annotation = model.model_fields[str(part)].annotation
        if not (isinstance(annotation, type) and issubclass(annotation, BaseModel)):
            return []
        model = annotation
    return sorted(name for name in model.model_fields if name != "stack")
