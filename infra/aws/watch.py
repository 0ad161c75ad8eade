"""Alarms for what Prometheus inside the cluster cannot see, and for Prometheus itself.

CloudWatch looks from outside: at the hosts under the instances, the volumes, the load balancer, the
copy of the backups, and whether the monitor still gives a sign of life. A host that fails is left
by its instance without anybody's help: address, volumes and identity stay (ADR 0017).
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pulumi_aws as aws
from pulumi import ComponentResource, Input, InvokeOptions, Output, ResourceOptions

from infra.aws.identity import Statement, allow, document
from infra.aws.keys import Keys, account
from infra.spec import AwsPlace, ClusterSpec, SnsHeartbeatReceiver, SnsReceiver

MINUTE = 60
ALARMS, HEARTBEAT = "alarms", "heartbeat"
RECOVER_AFTER, REBOOT_AFTER = 2, 5
"""Minutes of failed checks: a host's fault is left sooner than an operating system is rebooted."""


def topic_name(stack: str, name: str) -> str:
    """The name of a topic: fixed, because the monitor's own configuration tells it."""
    return f"guestcomms-{stack}-{name}"


def told_by_the_monitor(spec: ClusterSpec, account_id: str, region: str) -> ClusterSpec:
    """The spec with this stack's own topics among the receivers of alerts."""
    arn = f"arn:aws:sns:{region}:{account_id}:{{}}".format
    own = (
        SnsReceiver(kind="sns", name="aws-alarms", topic_arn=arn(topic_name(spec.stack, ALARMS))),
        SnsHeartbeatReceiver(
            kind="sns-heartbeat",
            name="aws-heartbeat",
            topic_arn=arn(topic_name(spec.stack, HEARTBEAT)),
        ),
    )
    return spec.model_copy(update={"receivers": (*spec.receivers, *own)})


class Watch(ComponentResource):
    """Topics and alarms."""

    def __init__(self, place: AwsPlace, stack: str, keys: Keys, opts: ResourceOptions) -> None:
        super().__init__("guestcomms:aws:Watch", "watch", None, opts)
        self._place, self._stack = place, stack
        self._key_arn, self._child = keys.arn("alarms"), ResourceOptions(parent=self)
        self.alarms = self._topic(ALARMS, "What people must know of")
        self.heartbeat = self._topic(HEARTBEAT, "Signs of life of the monitor")
        self._let_cloudwatch_publish()
        for address in place.notify:
            aws.sns.TopicSubscription(
                f"alarms-{address}",
                topic=self.alarms.arn,
                protocol="email",
                endpoint=address,
                opts=self._child,
            )
        self._watch_heartbeat()
        self.register_outputs({})

    def speaking(self) -> list[Statement]:
        """What the monitor needs to send alerts and its sign of life."""
        return [
            allow("Publish", ["sns:Publish"], [self.alarms.arn, self.heartbeat.arn]),
            allow("EncryptMessages", ["kms:Decrypt", "kms:GenerateDataKey"], [self._key_arn]),
        ]

    def watch_instance(self, machine: str, instance_id: Output[str]) -> None:
        """Move an instance away from a failing host, reboot one that hangs, tell people."""
        region = self._place.region
        instance = {"InstanceId": instance_id}
        for check, minutes, action, meaning in (
            ("System", RECOVER_AFTER, "recover", "its host fails; it is moved to another"),
            ("Instance", REBOOT_AFTER, "reboot", "it hangs; it is rebooted"),
            ("AttachedEBS", RECOVER_AFTER, None, "it does not reach a volume"),
        ):
            name = f"{machine}-{check.lower()}"
            self._alarm(
                name,
                f"{machine}: {meaning}",
                "AWS/EC2",
                f"StatusCheckFailed_{check}",
                instance,
                periods=minutes,
                actions=[f"arn:aws:automate:{region}:ec2:{action}"] if action else [],
            )

    def watch_volume(self, name: str, volume_id: Output[str]) -> None:
        """Tell people of a volume that answers no more, or is asked for more than it gives."""
        volume = {"VolumeId": volume_id}
        for metric, meaning in (
            ("VolumeStalledIOCheck", "does not answer"),
            ("VolumeIOPSExceededCheck", "is asked for more iops than it has"),
            ("VolumeThroughputExceededCheck", "is asked for more MiB/s than it has"),
        ):
            self._alarm(
                f"{name}-{metric}", f"Volume {name} {meaning}", "AWS/EBS", metric, volume, periods=5
            )

    def watch_balancer(
        self, balancer: aws.lb.LoadBalancer, groups: Mapping[str, aws.lb.TargetGroup]
    ) -> None:
        """Tell people of a proxy that does not answer, and of none that does."""
        for key, group in groups.items():
            name = key.replace("_", "-")
            front: dict[str, Input[str]] = {
                "LoadBalancer": balancer.arn_suffix,
                "TargetGroup": group.arn_suffix,
            }
            space = "AWS/NetworkELB"
            self._alarm(
                f"{name}-unhealthy", f"A proxy does not answer {name}", space,
                "UnHealthyHostCount", front, periods=3,
            )  # fmt: skip
            self._alarm(
                f"{name}-nobody", f"No proxy answers {name}: clients cannot connect", space,
                "HealthyHostCount", front, statistic="Minimum",
                comparison="LessThanThreshold", missing="breaching",
            )  # fmt: skip

    def watch_copy(self, bucket: Output[str], copy: Output[str]) -> None:
        """Tell people when the copy of the backups falls behind."""
        pair: dict[str, Input[str]] = {
            "SourceBucket": bucket,
            "DestinationBucket": copy,
            "RuleId": "copy",
        }
        self._alarm(
            "copy-behind", "The second region's copy of the backups is over 15 minutes behind",
            "AWS/S3", "ReplicationLatency", pair, periods=3, period=5 * MINUTE, threshold=900,
            missing="notBreaching",
        )  # fmt: skip
        self._alarm(
            "copy-failed", "Backups could not be copied to the second region", "AWS/S3",
            "OperationsFailedReplication", pair, statistic="Sum", period=5 * MINUTE,
            missing="notBreaching",
        )  # fmt: skip

    def _watch_heartbeat(self) -> None:
        """The dead man's switch: Alertmanager publishes a sign of life every minute."""
        self._alarm(
            "monitor-silent",
            "The monitor gives no sign of life: nobody watches the cluster from inside",
            "AWS/SNS",
            "NumberOfMessagesPublished",
            {"TopicName": self.heartbeat.name},
            statistic="Sum",
            period=5 * MINUTE,
            periods=2,
            comparison="LessThanThreshold",
            missing="breaching",
        )

    def _topic(self, name: str, what: str) -> aws.sns.Topic:
        return aws.sns.Topic(
            name,
            name=topic_name(self._stack, name),
            display_name=f"guestcomms {self._stack}: {what}",
            kms_master_key_id=self._key_arn,
            tags={"Name": f"guestcomms-{name}"},
            opts=self._child,
        )

    def _let_cloudwatch_publish(self) -> None:
        owner = account(InvokeOptions(parent=self))
        aws.sns.TopicPolicy(
            "alarms",
            arn=self.alarms.arn,
            policy=document(
                [
                    {
                        "Sid": "Alarms",
                        "Effect": "Allow",
                        "Principal": {"Service": "cloudwatch.amazonaws.com"},
                        "Action": "sns:Publish",
                        "Resource": self.alarms.arn,
                        "Condition": {"StringEquals": {"aws:SourceAccount": owner}},
                    }
                ]
            ),
            opts=self._child,
        )

    def _alarm(
        self,
        name: str,
        what: str,
        namespace: str,
        metric: str,
        dimensions: Mapping[str, Input[str]],
        **rule: Any,
    ) -> None:
        """An alarm that tells people when it begins and when it ends.

        `rule`: statistic (Maximum), period in seconds (60), periods (1), threshold (1), comparison
        (at or over the threshold), missing data (counts as a fault), further actions.
        """
        aws.cloudwatch.MetricAlarm(
            name,
            alarm_description=f"{self._stack}: {what}",
            namespace=namespace,
            metric_name=metric,
            dimensions=dict(dimensions),
            statistic=rule.get("statistic", "Maximum"),
            period=rule.get("period", MINUTE),
            evaluation_periods=rule.get("periods", 1),
            threshold=rule.get("threshold", 1),
            comparison_operator=rule.get("comparison", "GreaterThanOrEqualToThreshold"),
            treat_missing_data=rule.get("missing", "missing"),
            alarm_actions=[self.alarms.arn, *rule.get("actions", [])],
            ok_actions=[self.alarms.arn],
            opts=self._child,
        )
