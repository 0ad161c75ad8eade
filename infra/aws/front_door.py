"""The front door: a network load balancer inside the network, over the proxies, and its name.

It only spreads connections: who leads is known to HAProxy on the proxies, TLS ends at the database
machines.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import pulumi_aws as aws
from pulumi import ComponentResource, Input, Resource, ResourceOptions

from infra.aws.flows import FRONT_DOOR_PORTS
from infra.spec import AwsPlace

IDLE_SECONDS = 1900
"""Longer than HAProxy's own 30 minutes, so that it is HAProxy which ends an idle connection."""


@dataclass(frozen=True)
class Target:
    """Where connections go: an address, once the interface that has it is there."""

    address: str
    interface: Resource


class FrontDoor(ComponentResource):
    """Load balancer, listeners, private DNS name, and a private endpoint service if asked for."""

    def __init__(
        self,
        place: AwsPlace,
        stack: str,
        *,
        vpc_id: Input[str],
        subnet_ids: list[Input[str]],
        group_id: Input[str],
        proxies: Mapping[str, Target],
        opts: ResourceOptions,
    ) -> None:
        """Parameters: `proxies` by their names."""
        super().__init__("guestcomms:aws:FrontDoor", "front-door", None, opts)
        self._child, self._vpc_id, self._proxies = ResourceOptions(parent=self), vpc_id, proxies
        self.balancer = aws.lb.LoadBalancer(
            "front-door",
            internal=True,
            load_balancer_type="network",
            subnets=subnet_ids,
            security_groups=[group_id],
            enable_cross_zone_load_balancing=True,
            enable_deletion_protection=place.deletion_protection,
            enforce_security_group_inbound_rules_on_private_link_traffic="off",
            tags={"Name": "guestcomms"},
            opts=self._child,
        )
        self.groups = {key: self._listen(key, port) for key, port in FRONT_DOOR_PORTS.items()}
        self._make_name(place, stack)
        if place.client_accounts:
            aws.ec2.VpcEndpointService(
                "front-door",
                acceptance_required=False,
                network_load_balancer_arns=[self.balancer.arn],
                allowed_principals=[f"arn:aws:iam::{a}:root" for a in place.client_accounts],
                tags={"Name": "guestcomms"},
                opts=self._child,
            )
        self.register_outputs({})

    def _listen(self, key: str, port: int) -> aws.lb.TargetGroup:
        name = key.replace("_", "-")
        group = aws.lb.TargetGroup(
            name,
            port=port,
            protocol="TCP",
            target_type="ip",  # an address stays when its instance is replaced
            vpc_id=self._vpc_id,
            preserve_client_ip="false",
            deregistration_delay=30,
            connection_termination=True,
            health_check={
                "enabled": True,
                "protocol": "TCP",
                "port": "traffic-port",
                "interval": 5,
                "timeout": 3,
                "healthy_threshold": 2,
                "unhealthy_threshold": 2,
            },
            tags={"Name": f"guestcomms-{name}"},
            opts=self._child,
        )
        for proxy, target in self._proxies.items():
            aws.lb.TargetGroupAttachment(
                f"{name}-{proxy}",
                target_group_arn=group.arn,
                target_id=target.address,
                port=port,
                opts=ResourceOptions(parent=self, depends_on=[target.interface]),
            )
        aws.lb.Listener(
            name,
            load_balancer_arn=self.balancer.arn,
            port=port,
            protocol="TCP",
            tcp_idle_timeout_seconds=IDLE_SECONDS,
            default_actions=[{"type": "forward", "target_group_arn": group.arn}],
            opts=self._child,
        )
        return group

    def _make_name(self, place: AwsPlace, stack: str) -> None:
        zone = aws.route53.Zone(
            "private",
            name=f"{stack}.{place.domain}",
            comment="guestcomms: names inside the network",
            vpcs=[{"vpc_id": self._vpc_id, "vpc_region": place.region}],
            opts=self._child,
        )
        aws.route53.Record(
            "front-door",
            zone_id=zone.zone_id,
            name=front_door_name(place, stack),
            type="A",
            aliases=[
                {
                    "name": self.balancer.dns_name,
                    "zone_id": self.balancer.zone_id,
                    "evaluate_target_health": True,
                }
            ],
            opts=self._child,
        )


def front_door_name(place: AwsPlace, stack: str) -> str:
    """The name that clients verify: it is in the certificates of the database machines."""
    return f"db.{stack}.{place.domain}"
