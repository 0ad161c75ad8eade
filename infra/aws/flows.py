"""Who may speak to whom: every connection of the cluster by name; nothing else is let through."""

from __future__ import annotations

from dataclasses import dataclass

import pulumi_aws as aws
from pulumi import ComponentResource, Input, Output, ResourceOptions

from infra.machine.components import DATABASE_EXPORTERS, EXPORTER_PORTS
from infra.machine.model import Role

HTTPS = 443
FRONT_DOOR = "front-door"
FRONT_DOOR_PORTS = {"read_write": 5432, "read_only": 5433, "direct": 5434}
"""HAProxy's, and the load balancer's before it."""


@dataclass(frozen=True)
class Flow:
    """TCP connections from one group of machines to another, and for what."""

    source: str
    target: str
    ports: tuple[int, ...]
    purpose: str


_DATABASE, _PROXY = Role.DATABASE.value, Role.PROXY.value
_MONITOR, _DRILL = Role.MONITOR.value, Role.DRILL.value
_NODE = EXPORTER_PORTS["node"]

FLOWS = (
    Flow(FRONT_DOOR, _PROXY, tuple(FRONT_DOOR_PORTS.values()), "clients, and the health check"),
    Flow(_PROXY, _DATABASE, (5432, 6432), "clients to PostgreSQL and to PgBouncer"),
    Flow(_PROXY, _DATABASE, (8008,), "who leads, asked of Patroni"),
    Flow(_DATABASE, _DATABASE, (2379, 2380), "etcd, clients and peers"),
    Flow(_DATABASE, _DATABASE, (5432,), "replication"),
    Flow(_DATABASE, _DATABASE, (8008,), "Patroni to Patroni"),
    Flow(_MONITOR, _DATABASE, (2379, 8008), "metrics of etcd and Patroni"),
    Flow(
        _MONITOR,
        _DATABASE,
        tuple(EXPORTER_PORTS[kind] for kind in DATABASE_EXPORTERS),
        "metrics of exporters",
    ),
    Flow(_MONITOR, _PROXY, (8404, _NODE), "metrics of HAProxy and its machine"),
    Flow(_DRILL, _DATABASE, (5432,), "the ledger of restore drills, and what to compare with"),
    Flow(_MONITOR, _DRILL, (_NODE,), "metrics of the drill machine"),
    Flow(_MONITOR, _MONITOR, (9090, 9093, _NODE), "its own metrics, and alerts"),
)


class Flows(ComponentResource):
    """A security group for every kind of machine and the front door, and a rule for every flow."""

    groups: dict[str, aws.ec2.SecurityGroup]

    def __init__(
        self,
        vpc_id: Input[str],
        endpoint_group_id: Input[str],
        s3_prefix_list: Input[str],
        clients: tuple[str, ...],
        opts: ResourceOptions,
    ) -> None:
        super().__init__("guestcomms:aws:Flows", "flows", None, opts)
        self._child = ResourceOptions(parent=self)
        kinds = [role.value for role in Role if role is not Role.STORE]
        self.groups = {
            kind: aws.ec2.SecurityGroup(
                kind,
                description=f"guestcomms {kind}",
                vpc_id=vpc_id,
                revoke_rules_on_delete=True,
                tags={"Name": f"guestcomms-{kind}"},
                opts=self._child,
            )
            for kind in (FRONT_DOOR, *kinds)
        }
        for flow in FLOWS:
            for port in flow.ports:
                self._allow(flow, port)
        for kind in kinds:
            self._let_out(kind, "aws-services", "AWS services", group=endpoint_group_id)
            self._let_out(kind, "s3", "S3: backups, place file, agent", prefixes=s3_prefix_list)
        for client in clients:
            for key, port in FRONT_DOOR_PORTS.items():
                aws.vpc.SecurityGroupIngressRule(
                    f"{FRONT_DOOR}-from-{client.replace('/', '-')}-{key.replace('_', '-')}",
                    security_group_id=self.groups[FRONT_DOOR].id,
                    description=f"clients, {key.replace('_', '-')}",
                    cidr_ipv4=client,
                    ip_protocol="tcp",
                    from_port=port,
                    to_port=port,
                    opts=self._child,
                )
        self.register_outputs({})

    def group_id(self, role: Role) -> Output[str]:
        """The group of a kind of machine."""
        return self.groups[role.value].id

    def _allow(self, flow: Flow, port: int) -> None:
        source, target = self.groups[flow.source].id, self.groups[flow.target].id
        aws.vpc.SecurityGroupEgressRule(
            f"{flow.source}-to-{flow.target}-{port}",
            security_group_id=source,
            referenced_security_group_id=target,
            description=flow.purpose,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            f"{flow.target}-from-{flow.source}-{port}",
            security_group_id=target,
            referenced_security_group_id=source,
            description=flow.purpose,
            ip_protocol="tcp",
            from_port=port,
            to_port=port,
            opts=self._child,
        )

    def _let_out(
        self,
        kind: str,
        name: str,
        purpose: str,
        *,
        group: Input[str] | None = None,
        prefixes: Input[str] | None = None,
    ) -> None:
        aws.vpc.SecurityGroupEgressRule(
            f"{kind}-to-{name}",
            security_group_id=self.groups[kind].id,
            referenced_security_group_id=group,
            prefix_list_id=prefixes,
            description=purpose,
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            opts=self._child,
        )
