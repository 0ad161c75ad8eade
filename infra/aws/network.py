"""The network: a VPC over three zones, private subnets, and doors to AWS's own services only.

There is no internet gateway and no NAT: nothing comes in from outside, nothing goes out, and what
machines need of AWS they reach through endpoints inside.
"""

from __future__ import annotations

import pulumi_aws as aws
from pulumi import ComponentResource, InvokeOptions, Output, ResourceOptions

from infra.aws.flows import HTTPS
from infra.aws.identity import ROLES, allow, document
from infra.aws.keys import account, logs_key_policy, make_key
from infra.aws.layout import subnets
from infra.spec import AwsPlace

ENDPOINTS = {
    "ssm": "commands to machines",
    "ssmmessages": "sessions and commands, the data channel",
    "ec2messages": "commands, for agents that still poll",
    "secretsmanager": "secrets at boot",
    "kms": "the keys that open them",
    "sns": "alerts to people",
    "monitoring": "metrics to CloudWatch",
}
"""AWS's services that machines call, and for what. S3 has a gateway endpoint, which costs nothing.
Source: https://docs.aws.amazon.com/systems-manager/latest/userguide/setup-create-vpc.html"""


FLOW_LOG_DAYS = 90
"""So long it is known who connected to whom, also what was refused."""


class Network(ComponentResource):
    """VPC, one private subnet a zone, endpoints, flow logs."""

    def __init__(self, place: AwsPlace, stack: str, opts: ResourceOptions) -> None:
        super().__init__("guestcomms:aws:Network", "network", None, opts)
        self._place, self._stack = place, stack
        self._child = ResourceOptions(parent=self)
        self.vpc = aws.ec2.Vpc(
            "vpc",
            cidr_block=place.network,
            enable_dns_hostnames=True,
            enable_dns_support=True,
            tags={"Name": "guestcomms"},
            opts=self._child,
        )
        # Everything has a group of its own; the one that AWS makes lets nothing through.
        aws.ec2.DefaultSecurityGroup(
            "unused", vpc_id=self.vpc.id, ingress=[], egress=[], opts=self._child
        )
        self.subnets = self._make_subnets()
        self._make_endpoints()
        self._record_flows()
        self.register_outputs({})

    def _make_subnets(self) -> dict[str, aws.ec2.Subnet]:
        made = {
            zone: aws.ec2.Subnet(
                f"private-{zone}",
                vpc_id=self.vpc.id,
                availability_zone=zone,
                cidr_block=cidr,
                map_public_ip_on_launch=False,
                tags={"Name": f"guestcomms-{zone}"},
                opts=self._child,
            )
            for zone, cidr in subnets(self._place).items()
        }
        self._routes = aws.ec2.RouteTable(
            "private", vpc_id=self.vpc.id, tags={"Name": "guestcomms"}, opts=self._child
        )
        for zone, subnet in made.items():
            aws.ec2.RouteTableAssociation(
                f"private-{zone}",
                subnet_id=subnet.id,
                route_table_id=self._routes.id,
                opts=self._child,
            )
        return made

    def _make_endpoints(self) -> None:
        region = self._place.region
        self.s3 = aws.ec2.VpcEndpoint(
            "s3",
            vpc_id=self.vpc.id,
            service_name=f"com.amazonaws.{region}.s3",
            vpc_endpoint_type="Gateway",
            route_table_ids=[self._routes.id],
            tags={"Name": "guestcomms-s3"},
            opts=self._child,
        )
        self.endpoint_group = aws.ec2.SecurityGroup(
            "endpoints",
            description="AWS services inside the network",
            vpc_id=self.vpc.id,
            tags={"Name": "guestcomms-endpoints"},
            opts=self._child,
        )
        aws.vpc.SecurityGroupIngressRule(
            "endpoints-from-network",
            security_group_id=self.endpoint_group.id,
            description="machines call AWS services",
            cidr_ipv4=self._place.network,
            ip_protocol="tcp",
            from_port=HTTPS,
            to_port=HTTPS,
            opts=self._child,
        )
        self.endpoints = [self._interface_endpoint(service) for service in ENDPOINTS]

    def _interface_endpoint(self, service: str) -> aws.ec2.VpcEndpoint:
        zones = self._place.zones if self._place.endpoints_in_every_zone else self._place.zones[:1]
        return aws.ec2.VpcEndpoint(
            service,
            vpc_id=self.vpc.id,
            service_name=f"com.amazonaws.{self._place.region}.{service}",
            vpc_endpoint_type="Interface",
            private_dns_enabled=True,
            subnet_ids=[self.subnets[zone].id for zone in zones],
            security_group_ids=[self.endpoint_group.id],
            tags={"Name": f"guestcomms-{service}"},
            opts=self._child,
        )

    def _record_flows(self) -> None:
        """Keep who connected to whom, for whoever investigates.

        Source: https://docs.aws.amazon.com/vpc/latest/userguide/flow-logs-iam-role.html
        """
        region, name = self._place.region, f"/guestcomms/{self._stack}/flows"
        owner = account(InvokeOptions(parent=self))
        key = make_key(
            "flows", f"guestcomms {self._stack}: who connected to whom",
            logs_key_policy(owner, region, name),
            ResourceOptions(parent=self, protect=self._place.deletion_protection),
        )  # fmt: skip
        group = aws.cloudwatch.LogGroup(
            "flows", name=name, retention_in_days=FLOW_LOG_DAYS, kms_key_id=key.arn,
            tags={"Name": "guestcomms-flows"}, opts=self._child,
        )  # fmt: skip
        trust = {
            "Effect": "Allow",
            "Principal": {"Service": "vpc-flow-logs.amazonaws.com"},
            "Action": "sts:AssumeRole",
            "Condition": {"StringEquals": {"aws:SourceAccount": owner}},
        }
        role = aws.iam.Role(
            "flows", path=ROLES, assume_role_policy=document([trust]), opts=self._child
        )
        writing = [
            "logs:CreateLogStream", "logs:DescribeLogGroups", "logs:DescribeLogStreams",
            "logs:PutLogEvents",
        ]  # fmt: skip
        policy = aws.iam.RolePolicy(
            "flows",
            role=role.id,
            policy=document([allow("Write", writing, [Output.concat(group.arn, ":*")])]),
            opts=self._child,
        )
        aws.ec2.FlowLog(
            "flows",
            vpc_id=self.vpc.id,
            traffic_type="ALL",
            log_destination_type="cloud-watch-logs",
            log_destination=group.arn,
            iam_role_arn=role.arn,
            tags={"Name": "guestcomms-flows"},
            opts=ResourceOptions(parent=self, depends_on=[policy]),
        )

    @property
    def s3_prefix_list(self) -> Output[str]:
        """S3's addresses, for rules that let nothing else out."""
        return self.s3.prefix_list_id
