"""Every resource type that the simulated AWS knows."""

from __future__ import annotations

from tests.fake_aws.kinds import data, machines, network, watching
from tests.fake_aws.model import Kind

KINDS: dict[str, Kind] = {
    kind.token: kind for module in (network, machines, data, watching) for kind in module.KINDS
}
