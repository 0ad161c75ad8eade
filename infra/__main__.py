"""The Pulumi program: stack configuration → spec → machines → place → outputs."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi

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
    for name, output in _placed(spec, config).items():
        pulumi.export(name, output)


def _placed(spec: ClusterSpec, config: pulumi.Config) -> Mapping[str, Any]:
    """Put the cluster where the stack says; what another place needs is not even imported."""
    secrets = config.get_secret_object("receiver_secrets") or pulumi.Output.secret({})
    match spec.place.kind:
        case "local":
            from infra.local.cluster import LocalCluster

            return LocalCluster(spec.stack, spec, secrets).outputs
        case "aws":
            from infra.aws.cluster import AwsCluster

            return AwsCluster(spec.stack, spec, secrets).outputs
        case "aws-image":
            from infra.aws.image_factory import ImageFactory

            return ImageFactory(spec.stack, spec).outputs


def _value(config: pulumi.Config, key: str) -> object:
    """A section as an object, a plain key as text, a missing one as None."""
    if key == "bootstrap":
        return config.get(key)
    return config.get_object(key)


main()
