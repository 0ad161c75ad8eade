"""The cluster's dynamic settings: one resource, applied through Patroni and read back for drift."""

import json
from collections.abc import Mapping, Sequence
from typing import Any

from pulumi import ResourceOptions
from pulumi.dynamic import CreateResult, DiffResult, ReadResult, Resource, UpdateResult

from infra.dynamic import PlaceError, Props, Provider, changed, progress
from infra.gate import ask_agent
from infra.local.gate import running_machines
from infra.local.names import Owner


class SettingsProvider(Provider):
    """Applies settings to a running cluster; deleting them leaves the cluster as it is."""

    def diff(self, _id: str, olds: Props, news: Props) -> DiffResult:
        return DiffResult(changes=bool(changed(olds, news, ["settings"])))

    def create(self, props: Props) -> CreateResult:
        # The machines have the wanted settings already: they came with their place facts.
        answer = _agent(props, "settings", "--apply")
        if restarted := answer["restarted"]:
            progress(f"settings: restarted {', '.join(restarted)}")
        return CreateResult(Owner.of(props).network, props)

    def read(self, id_: str, props: Props) -> ReadResult:
        try:
            live = _agent(props, "settings")
        except PlaceError as error:
            # A refresh must work while the cluster is down: it is how the machines come back.
            progress(f"settings: taken as they were, nobody can be asked ({error})")
            return ReadResult(id_, props)
        return ReadResult(id_, {**props, "settings": _text(live)})

    def update(self, _id: str, _olds: Props, news: Props) -> UpdateResult:
        return UpdateResult(self.create(news).outs)


class Settings(Resource, module="local", name="Settings"):
    """Patroni's dynamic configuration, PostgreSQL's parameters among it.

    Let it depend on the machines, whose place facts carry the settings to apply.

    `pulumi refresh` reads what the cluster really has, so a setting that somebody changed by
    hand shows as drift and the next `pulumi up` puts it back.
    """

    def __init__(
        self,
        name: str,
        owner: Owner,
        settings: Mapping[str, Any],
        database_machines: Sequence[str],
        opts: ResourceOptions | None = None,
    ) -> None:
        props = {
            **owner.props,
            # As text: Pulumi's numbers are all floats, Patroni's are not.
            "settings": _text(settings),
            "database_machines": list(database_machines),
        }
        super().__init__(SettingsProvider(), name, props, opts)


def _text(settings: Mapping[str, Any]) -> str:
    return json.dumps(settings, sort_keys=True, indent=1)


def _agent(props: Props, *verb: str) -> dict[str, Any]:
    return ask_agent(running_machines(Owner.of(props), props["database_machines"]), *verb)
