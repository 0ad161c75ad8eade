"""The policy pack, run by the engine: `pulumi preview --policy-pack infra/guardrails`."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from pulumi_policy import (
    EnforcementLevel,
    PolicyPack,
    PolicyResource,
    ReportViolation,
    StackValidationArgs,
    StackValidationPolicy,
)

from infra.guardrails.plan import Plan, Resource, default_tags
from infra.guardrails.rules import RULES, Rule


def _plan(args: StackValidationArgs) -> Plan:
    return Plan(tuple(_resource(each) for each in args.resources))


def _resource(given: PolicyResource) -> Resource:
    return Resource(
        urn=given.urn,
        type=given.resource_type,
        props=_plain(given.props),
        protected=given.opts.protect,
        depends={
            name: [each.urn for each in others]
            for name, others in given.property_dependencies.items()
        },
        default_tags=default_tags(_plain(given.provider.props)) if given.provider else {},
    )


def _plain(value: Any) -> Any:
    """A property without the library's wrapper, which raises at values that are not known yet."""
    if isinstance(value, (str, int, float, bool)) or value is None:
        return value
    target = value["__target"] if hasattr(type(value), "__getitem__") else value
    if isinstance(target, dict):
        return {key: _plain(each) for key, each in target.items()}
    if isinstance(target, list):
        return [_plain(each) for each in target]
    return "[secret]" if type(target).__name__ == "Secret" else target


def _validate(rule: Rule) -> Callable[[StackValidationArgs, ReportViolation], None]:
    def validate(args: StackValidationArgs, report: ReportViolation) -> None:
        for sentence in rule.check(_plan(args)):
            report(sentence, None)

    return validate


PolicyPack(
    name="guestcomms",
    enforcement_level=EnforcementLevel.MANDATORY,
    policies=[
        StackValidationPolicy(
            name=rule.name, description=rule.description, validate=_validate(rule)
        )
        for rule in RULES
    ],
)
