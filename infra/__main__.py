"""The Pulumi program: stack configuration → spec → machines → place → outputs."""

from __future__ import annotations

import pulumi

from infra.local.cluster import LocalCluster
from infra.spec import CONFIG_NAMESPACE, ClusterSpec, SpecError


def main() -> None:
    """Build what the stack's configuration describes and export how to reach it."""
    config = pulumi.Config(CONFIG_NAMESPACE)
    values = {key: _value(config, key) for key in ClusterSpec.config_keys()}
    try:
        spec = ClusterSpec.load(
            pulumi.get_stack(), {key: value for key, value in values.items() if value is not None}
        )
    except SpecError as error:
        raise pulumi.RunError(f"the configuration of this stack is not valid\n{error}") from None
    cluster = LocalCluster(spec.stack, spec)
    for name, output in cluster.outputs.items():
        pulumi.export(name, output)


def _value(config: pulumi.Config, key: str) -> object:
    """A section as an object, a plain key as text, a missing one as None."""
    if key == "bootstrap":
        return config.get(key)
    return config.get_object(key)


main()
