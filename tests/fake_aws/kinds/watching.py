"""Front door, alarms, messages, logs, documents and the image pipeline."""

from __future__ import annotations

import json
from typing import Any

from tests.fake_aws.kinds.names import (
    INSTANCE,
    INSTANCE_PROFILE,
    LOAD_BALANCER,
    LOG_GROUP,
    NETWORK_INTERFACE,
    SUBNET,
    TARGET_GROUP,
    TOPIC,
    arn,
    group_ref,
    key_ref,
    policy_document,
    ref,
    role_ref,
    sentence,
    subnet_ref,
    token,
    vpc_ref,
)
from tests.fake_aws.lookups import add_image, images
from tests.fake_aws.model import ALL, Call, Check, Kind
from tests.fake_aws.service import Refused
from tests.fake_aws.world import Item, World

# Source: https://docs.aws.amazon.com/elasticloadbalancing/latest/APIReference/API_CreateLoadBalancer.html
ELB_NAME = r"(?!internal-)[A-Za-z0-9](?:[A-Za-z0-9-]{0,30}[A-Za-z0-9])?"


def one_subnet_a_zone(world: World, item: Item) -> None:
    """A load balancer has one subnet in each zone."""
    blocks = item.get("subnetMappings") or []
    named = item.get("subnets") or [block.get("subnetId") for block in blocks]
    zones = [
        found.get("availabilityZone")
        for ident in named
        if isinstance(ident, str) and (found := world.find((SUBNET,), "id", ident))
    ]
    if len(set(zones)) != len(zones):
        raise Refused("InvalidConfigurationRequest", f"two subnets of one zone: {zones}")


def target_exists(world: World, item: Item) -> None:
    """What is registered is there: an instance, or an address that an interface has."""
    group = world.find((TARGET_GROUP,), "arn", str(item.get("targetGroupArn")))
    target = item.get("targetId")
    if group is None or target is None:
        return
    if group.get("targetType") == "ip":
        if not any(
            target in {each.get("privateIp"), *(each.get("privateIps") or [])}
            for each in world.of(NETWORK_INTERFACE, INSTANCE)
        ):
            raise Refused("InvalidTarget", f"nothing has the address {target}")
    elif world.find((INSTANCE,), "id", target) is None:
        raise Refused("InvalidTarget", f"there is no instance {target}")


def same_protocol(world: World, item: Item) -> None:
    """A network load balancer's listener speaks the target group's protocol."""
    for action in item.get("defaultActions") or []:
        group = world.find((TARGET_GROUP,), "arn", str(action.get("targetGroupArn")))
        mine = item.get("protocol")
        if group and mine in {"TCP", "UDP", "TLS"} and group.get("protocol") not in {mine, "TCP"}:
            raise Refused("IncompatibleProtocols", f"{mine} to {group.get('protocol')}")


def one_way_to_measure(_world: World, item: Item) -> None:
    """An alarm watches one metric, or a list of queries."""
    if bool(item.inputs.get("metricName")) == bool(item.inputs.get("metricQueries")):
        raise Refused("ValidationError", "either metricName or metricQueries")
    period = item.get("period")
    if isinstance(period, int) and period not in {10, 20, 30} and period % 60:
        raise Refused("ValidationError", f"period {period} is no multiple of 60")


def alarm_dimensions(world: World, item: Item) -> None:
    """The instance that an alarm watches is there."""
    ident = (item.get("dimensions") or {}).get("InstanceId")
    if isinstance(ident, str) and ident.startswith("i-"):
        world.must_find(ref("dimensions.InstanceId", INSTANCE, code="ResourceNotFound"), ident)


def actions_exist(*names: str) -> Check:
    """What an alarm does when it goes off is there: a topic, or EC2's own recovery."""

    def check(world: World, item: Item) -> None:
        for name in names:
            for each in item.get(name) or []:
                if isinstance(each, str) and each.startswith("arn:aws:sns:"):
                    world.must_find(ref(name, TOPIC, key="arn", code="InvalidAction"), each)
                elif isinstance(each, str) and not each.startswith(
                    ("arn:aws:automate:", "arn:aws:lambda:", "arn:aws:ssm:", "04da6b54")
                ):
                    raise Refused("ValidationError", f"{name} {each!r} is nothing to be done")

    return check


def json_text(name: str) -> Check:
    """A property that holds JSON."""

    def check(_world: World, item: Item) -> None:
        if (text := item.get(name)) is not None:
            try:
                json.loads(text)
            except json.JSONDecodeError as error:
                raise Refused("InvalidParameter", f"{name}: {error}") from None

    return check


def parent_image(world: World, item: Item) -> None:
    """The image that a recipe begins with is there."""
    name = item.get("parentImage")
    known = {image["id"] for image in images(world, item.region)}
    if name and name.startswith("ami-") and name not in known:
        raise Refused("InvalidParameterValueException", f"there is no image {name}")


def dns_name(_world: World, item: Item) -> str:
    """The name of a load balancer."""
    return f"{item.get('name')}-{item.id.rpartition('/')[2]}.elb.{item.region}.amazonaws.com"


def built_image(world: World, item: Item) -> Any:
    """What the image pipeline has made: an AMI with the distribution's tags."""
    distribution = world.find(
        (token("imagebuilder", "DistributionConfiguration"),),
        "arn",
        str(item.get("distributionConfigurationArn")),
    )
    recipe = world.find(
        (token("imagebuilder", "ImageRecipe"),), "arn", str(item.get("imageRecipeArn"))
    )
    parent = recipe.get("parentImage") if recipe else None
    base = [image for image in images(world, item.region) if image["id"] == parent]
    made = []
    for each in (distribution.get("distributions") if distribution else None) or []:
        block = each.get("amiDistributionConfiguration") or {}
        made.append(
            add_image(
                world,
                f"{block.get('name', 'image')} {item.id}",
                base[0]["architecture"] if base else "x86_64",
                each["region"],
                block.get("amiTags") or {},
            )
        )
    amis = [{"image": image["id"], "region": image["region"]} for image in made]
    return [{"amis": amis, "containers": []}]


def _image_builder(
    name: str, operation: str, path: str, *refs: Any, checks: tuple[Check, ...] = (), **names: str
) -> Kind:
    """A piece of the image pipeline: versions where it has one, made anew where AWS cannot
    change it."""
    changes = {"InfrastructureConfiguration", "DistributionConfiguration", "ImagePipeline"}
    return Kind(
        token("imagebuilder", name),
        (Call(f"imagebuilder:{operation}", names, fixed={"clientToken": "pulumi"}),),
        id=arn("imagebuilder", path),
        replace=frozenset({"name"}) if name in changes else ALL,
        update=f"imagebuilder:Update{name}" if name in changes else None,
        local=frozenset({"skipDestroy"}) if name == "Component" else frozenset(),
        outputs={"arn": "{id}", **({"outputResources": built_image} if name == "Image" else {})},
        refs=refs,
        autoname=None if name == "Image" else "name",
        taken="ResourceAlreadyExistsException",
        checks=checks,
        delete=f"imagebuilder:Delete{name}",
    )


KINDS = (
    Kind(
        LOAD_BALANCER,
        (
            Call(
                "elbv2:CreateLoadBalancer",
                {
                    "loadBalancerType": "Type",
                    "subnetMappings.privateIpv4Address": "PrivateIPv4Address",
                },
            ),
        ),
        id=arn("elasticloadbalancing", "loadbalancer/net/{name}/{hex16}"),
        replace=frozenset({"name", "internal", "loadBalancerType"}),
        update="elbv2:ModifyLoadBalancerAttributes",
        local=frozenset(
            {
                "internal", "enableDeletionProtection", "enableCrossZoneLoadBalancing",
                "dnsRecordClientRoutingPolicy", "accessLogs",
                "enforceSecurityGroupInboundRulesOnPrivateLinkTraffic",
            }
        ),
        outputs={
            "arn": "{id}",
            "dnsName": dns_name,
            "zoneId": "Z3F0SRJ5LGBH90",
            "arnSuffix": lambda _, item: item.id.partition("loadbalancer/")[2],
        },
        refs=(
            subnet_ref("subnets"),
            subnet_ref("subnetMappings.subnetId"),
            group_ref("securityGroups"),
        ),
        unique=(("name",),),
        taken="DuplicateLoadBalancerName",
        autoname="name",
        checks=(sentence("name", ELB_NAME, "ValidationError"), one_subnet_a_zone),
        guarded="enableDeletionProtection",
        delete="elbv2:DeleteLoadBalancer",
    ),
    Kind(
        TARGET_GROUP,
        (
            Call(
                "elbv2:CreateTargetGroup",
                {
                    **{
                        f"healthCheck.{name}": parameter
                        for name, parameter in {
                            "enabled": "HealthCheckEnabled",
                            "interval": "HealthCheckIntervalSeconds",
                            "path": "HealthCheckPath",
                            "port": "HealthCheckPort",
                            "protocol": "HealthCheckProtocol",
                            "timeout": "HealthCheckTimeoutSeconds",
                            "healthyThreshold": "HealthyThresholdCount",
                            "unhealthyThreshold": "UnhealthyThresholdCount",
                            "matcher": "Matcher.HttpCode",
                        }.items()
                    },
                    "healthCheck": "*",
                },
            ),
        ),
        id=arn("elasticloadbalancing", "targetgroup/{name}/{hex16}"),
        replace=frozenset({"name", "port", "protocol", "targetType", "vpcId"}),
        update="elbv2:ModifyTargetGroup",
        local=frozenset(
            {
                "connectionTermination", "deregistrationDelay", "loadBalancingCrossZoneEnabled",
                "preserveClientIp", "proxyProtocolV2", "slowStart", "stickiness",
                "targetHealthStates", "targetGroupHealth", "targetFailovers",
            }
        ),
        outputs={
            "arn": "{id}",
            "arnSuffix": lambda _, item: item.id.rpartition(":")[2],
        },
        refs=(vpc_ref(),),
        unique=(("name",),),
        taken="DuplicateTargetGroupName",
        autoname="name",
        checks=(sentence("name", ELB_NAME, "ValidationError"),),
        delete="elbv2:DeleteTargetGroup",
    ),
    Kind(
        token("lb", "Listener"),
        (
            Call(
                "elbv2:CreateListener",
                {"certificateArn": "Certificates[].CertificateArn"},
            ),
        ),
        id=arn("elasticloadbalancing", "listener/net/{hex16}"),
        replace=frozenset({"loadBalancerArn"}),
        update="elbv2:ModifyListener",
        local=frozenset({"tcpIdleTimeoutSeconds"}),
        outputs={"arn": "{id}"},
        refs=(
            ref("loadBalancerArn", LOAD_BALANCER, key="arn", code="LoadBalancerNotFound",
                blocks=False),
            ref("defaultActions.targetGroupArn", TARGET_GROUP, key="arn",
                code="TargetGroupNotFound"),
        ),
        unique=(("loadBalancerArn", "port"),),
        taken="DuplicateListener",
        checks=(same_protocol,),
        delete="elbv2:DeleteListener",
    ),
    Kind(
        token("lb", "TargetGroupAttachment"),
        (
            Call(
                "elbv2:RegisterTargets",
                {
                    "targetId": "Targets[].Id",
                    "port": "Targets[].Port",
                    "availabilityZone": "Targets[].AvailabilityZone",
                },
            ),
        ),
        id="{targetGroupArn}-{targetId}",
        replace=ALL,
        refs=(
            ref("targetGroupArn", TARGET_GROUP, key="arn", code="TargetGroupNotFound",
                blocks=False),
        ),
        checks=(target_exists,),
        delete="elbv2:DeregisterTargets",
    ),
    Kind(
        TOPIC,
        (
            Call("sns:CreateTopic"),
            Call(
                "sns:SetTopicAttributes",
                {"kmsMasterKeyId": "AttributeValue"},
                fixed={"TopicArn": "{id}", "AttributeName": "KmsMasterKeyId"},
                only=("kmsMasterKeyId",),
            ),
        ),
        id=arn("sns", "{name}"),
        replace=frozenset({"name", "fifoTopic"}),
        update="sns:SetTopicAttributes",
        local=frozenset({"displayName", "policy", "deliveryPolicy", "signatureVersion"}),
        outputs={"arn": "{id}", "owner": "{account}"},
        autoname="name",
        checks=(policy_document("policy", 30720),),
        delete="sns:DeleteTopic",
    ),
    Kind(
        token("sns", "TopicPolicy"),
        (
            Call(
                "sns:SetTopicAttributes",
                {"arn": "TopicArn", "policy": "AttributeValue"},
                fixed={"AttributeName": "Policy"},
            ),
        ),
        id="{arn}",
        replace=frozenset({"arn"}),
        update="sns:SetTopicAttributes",
        refs=(ref("arn", TOPIC, key="arn", code="NotFound", blocks=False),),
        checks=(policy_document("policy", 30720),),
    ),
    Kind(
        token("sns", "TopicSubscription"),
        (Call("sns:Subscribe", {"topic": "TopicArn"}),),
        id="{topic}:{uuid}",
        replace=frozenset({"topic", "protocol", "endpoint"}),
        update="sns:SetSubscriptionAttributes",
        local=frozenset(
            {"confirmationTimeoutInMinutes", "endpointAutoConfirms", "rawMessageDelivery",
             "filterPolicy", "filterPolicyScope", "redrivePolicy"}
        ),
        outputs={"arn": "{id}", "pendingConfirmation": lambda *_: True},
        refs=(ref("topic", TOPIC, key="arn", code="NotFound", blocks=False),),
        delete="sns:Unsubscribe",
    ),
    Kind(
        LOG_GROUP,
        (
            Call("logs:CreateLogGroup", {"name": "logGroupName"}),
            Call(
                "logs:PutRetentionPolicy",
                fixed={"logGroupName": "{name}"},
                only=("retentionInDays",),
            ),
        ),
        id="{name}",
        replace=frozenset({"name", "logGroupClass"}),
        update="logs:PutRetentionPolicy",
        local=frozenset({"skipDestroy"}),
        outputs={"arn": arn("logs", "log-group:{name}")},
        autoname="name",
        refs=(key_ref("kmsKeyId"),),
        delete="logs:DeleteLogGroup",
    ),
    Kind(
        token("cloudwatch", "MetricAlarm"),
        (
            Call(
                "cloudwatch:PutMetricAlarm",
                {
                    "name": "AlarmName",
                    "metricQueries": "Metrics",
                    "okActions": "OKActions",
                    "metricQueries.metric": "MetricStat",
                    **{
                        f"metricQueries.metric.{key}": value
                        for key, value in {
                            "metricName": "Metric.MetricName",
                            "namespace": "Metric.Namespace",
                            "dimensions": "Metric.Dimensions",
                            "stat": "Stat",
                            "period": "Period",
                            "unit": "Unit",
                        }.items()
                    },
                },
            ),
        ),
        id="{name}",
        replace=frozenset({"name"}),
        update="cloudwatch:PutMetricAlarm",
        outputs={"arn": arn("cloudwatch", "alarm:{name}")},
        autoname="name",
        checks=(
            one_way_to_measure,
            alarm_dimensions,
            actions_exist("alarmActions", "okActions", "insufficientDataActions"),
        ),
        delete="cloudwatch:DeleteAlarms",
    ),
    Kind(
        token("cloudwatch", "CompositeAlarm"),
        (Call("cloudwatch:PutCompositeAlarm", {"okActions": "OKActions"}),),
        id="{alarmName}",
        replace=frozenset({"alarmName"}),
        update="cloudwatch:PutCompositeAlarm",
        outputs={"arn": arn("cloudwatch", "alarm:{alarmName}")},
        checks=(actions_exist("alarmActions", "okActions", "insufficientDataActions"),),
        delete="cloudwatch:DeleteAlarms",
    ),
    Kind(
        token("cloudwatch", "Dashboard"),
        (Call("cloudwatch:PutDashboard"),),
        id="{dashboardName}",
        replace=frozenset({"dashboardName"}),
        update="cloudwatch:PutDashboard",
        outputs={"dashboardArn": "arn:aws:cloudwatch::{account}:dashboard/{dashboardName}"},
        checks=(json_text("dashboardBody"),),
        delete="cloudwatch:DeleteDashboards",
    ),
    Kind(
        token("cloudwatch", "EventRule"),
        (Call("events:PutRule"),),
        id="{name}",
        replace=frozenset({"name", "eventBusName"}),
        update="events:PutRule",
        local=frozenset({"forceDestroy", "isEnabled"}),
        outputs={"arn": arn("events", "rule/{name}")},
        autoname="name",
        checks=(json_text("eventPattern"),),
        delete="events:DeleteRule",
    ),
    Kind(
        token("cloudwatch", "EventTarget"),
        (
            Call(
                "events:PutTargets",
                {
                    name: f"Targets[].{name[0].upper()}{name[1:]}"
                    for name in ("arn", "roleArn", "input", "inputPath", "inputTransformer")
                }
                | {"targetId": "Targets[].Id", "inputTransformer.inputPaths": "InputPathsMap"},
            ),
        ),
        id="{rule}-{hex}",
        replace=frozenset({"rule", "targetId"}),
        update="events:PutTargets",
        refs=(ref("rule", token("cloudwatch", "EventRule"), code="ResourceNotFoundException"),),
        autoname="targetId",
        delete="events:RemoveTargets",
    ),
    Kind(
        token("ssm", "Document"),
        (Call("ssm:CreateDocument"),),
        id="{name}",
        replace=frozenset({"name", "documentType"}),
        update="ssm:UpdateDocument",
        local=frozenset({"permissions"}),
        outputs={"arn": arn("ssm", "document/{name}"), "defaultVersion": "1", "status": "Active"},
        taken="DocumentAlreadyExists",
        autoname="name",
        delete="ssm:DeleteDocument",
    ),
    Kind(
        token("ssm", "Association"),
        (
            Call(
                "ssm:CreateAssociation",
                {"outputLocation": "OutputLocation.S3Location"},
            ),
        ),
        id="{uuid}",
        replace=frozenset({"name"}),
        update="ssm:UpdateAssociation",
        local=frozenset({"waitForSuccessTimeoutSeconds"}),
        outputs={"arn": arn("ssm", "association/{id}"), "associationId": "{id}"},
        delete="ssm:DeleteAssociation",
    ),
    Kind(
        token("ssm", "ServiceSetting"),
        (Call("ssm:UpdateServiceSetting"),),
        id="{settingId}",
        replace=frozenset({"settingId"}),
        update="ssm:UpdateServiceSetting",
        outputs={"arn": arn("ssm", "servicesetting{settingId}"), "status": "Customized"},
        delete="ssm:ResetServiceSetting",
    ),
    _image_builder("Component", "CreateComponent", "component/{name}/{version}/1",
                   key_ref("kmsKeyId"), version="semanticVersion"),
    _image_builder("ImageRecipe", "CreateImageRecipe", "image-recipe/{name}/{version}",
                   ref("components.componentArn", token("imagebuilder", "Component"), key="arn",
                       code="ResourceNotFoundException"),
                   checks=(parent_image,),
                   version="semanticVersion",
                   systemsManagerAgent="additionalInstanceConfiguration.systemsManagerAgent",
                   userDataBase64="additionalInstanceConfiguration.userDataOverride",
                   **{"components.parameters": "parameters"}),
    _image_builder("InfrastructureConfiguration", "CreateInfrastructureConfiguration",
                   "infrastructure-configuration/{name}",
                   ref("instanceProfileName", INSTANCE_PROFILE, key="name",
                       code="InvalidParameterValueException"),
                   subnet_ref(), group_ref("securityGroupIds")),
    _image_builder("DistributionConfiguration", "CreateDistributionConfiguration",
                   "distribution-configuration/{name}"),
    _image_builder("ImagePipeline", "CreateImagePipeline", "image-pipeline/{name}",
                   ref("imageRecipeArn", token("imagebuilder", "ImageRecipe"), key="arn",
                       code="ResourceNotFoundException"),
                   ref("infrastructureConfigurationArn",
                       token("imagebuilder", "InfrastructureConfiguration"), key="arn",
                       code="ResourceNotFoundException"),
                   ref("distributionConfigurationArn",
                       token("imagebuilder", "DistributionConfiguration"), key="arn",
                       code="ResourceNotFoundException")),
    _image_builder("Image", "CreateImage", "image/{hex}/1.0.0/1",
                   ref("imageRecipeArn", token("imagebuilder", "ImageRecipe"), key="arn",
                       code="ResourceNotFoundException"),
                   role_ref("executionRole")),
)  # fmt: skip
