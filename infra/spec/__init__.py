"""What a cluster is: one typed model with safe defaults, filled from stack configuration.

A stack differs from another only by the data it puts in here; everything after this
package (machine files, places, policies) is a function of a ClusterSpec.
"""

from infra.spec.alerts import HeartbeatReceiver, SnsHeartbeatReceiver, SnsReceiver
from infra.spec.cluster import ClusterSpec, SpecError
from infra.spec.fields import (
    CONFIG_NAMESPACE,
    DATABASE,
    GIB,
    MIB,
    MOST_DATABASE_NODES,
    PATRONI_NAMESPACE,
    SCOPE,
    STANZA,
)
from infra.spec.place import AwsImagePlace, AwsPlace, DataVolume, LocalPlace
from infra.spec.sections import (
    RECOVERY_TIMES,
    Machines,
    MachineSize,
    RecoveryPlan,
    SynchronousMode,
)

__all__ = [
    "CONFIG_NAMESPACE",
    "DATABASE",
    "GIB",
    "MIB",
    "MOST_DATABASE_NODES",
    "PATRONI_NAMESPACE",
    "RECOVERY_TIMES",
    "SCOPE",
    "STANZA",
    "AwsImagePlace",
    "AwsPlace",
    "ClusterSpec",
    "DataVolume",
    "HeartbeatReceiver",
    "LocalPlace",
    "MachineSize",
    "Machines",
    "RecoveryPlan",
    "SnsHeartbeatReceiver",
    "SnsReceiver",
    "SpecError",
    "SynchronousMode",
]
