"""AWS's own published service models, as botocore ships them: what a call must look like."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from functools import cache
from typing import Any

import regex
from botocore.model import OperationModel, ServiceModel
from botocore.session import Session
from botocore.validate import ParamValidator, ValidationErrors

UNKNOWN = "04da6b54-80e4-46f7-96ec-b56ff0331ba9"
"""What Pulumi writes for a value that a preview cannot know yet."""


Shape = Any
"""A shape of a service model; which members it has depends on its `type_name`."""


class Refused(Exception):  # noqa: N818 - it stands for AWS's answer, whose name is its code
    """AWS would refuse the call: an error code and a sentence, as its API answers."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(f"{code}: {message}")
        self.code = code


@cache
def _session() -> Session:
    return Session()


@cache
def service_model(service: str) -> ServiceModel:
    """Return the model of a service, such as `ec2`."""
    return _session().get_service_model(service)


@cache
def operation(name: str) -> OperationModel:
    """Return the model of an operation written `ec2:CreateVpc`."""
    service, _, operation_name = name.partition(":")
    return service_model(service).operation_model(operation_name)


def input_shape(name: str) -> Shape:
    """Return the shape of an operation's parameters."""
    return operation(name).input_shape


def validate(name: str, params: Mapping[str, Any]) -> None:
    """Judge a call's parameters by the operation's input shape; unknown values pass.

    Raises:
        Refused: something is missing, of a wrong type, too long, or not among the allowed values.
    """
    shape = input_shape(name)
    report = _Validator().validate(params, shape)
    if report.has_errors():
        raise Refused("ValidationError", f"{name}: {report.generate_report()}")


# The stubs leave out the methods that are overridden here.
_ValidationErrors: Any = ValidationErrors
_ParamValidator: Any = ParamValidator


FEW = 8
"""How many allowed values an error lists."""


class _Errors(_ValidationErrors):  # type: ignore[misc]
    """ParamValidator's report, with the constraints that it does not know."""

    def _format_error(self, error: tuple[str, str, dict[str, Any]]) -> str:
        kind, name, details = error
        if kind in {"pattern", "enumeration", "maximum"}:
            return f"{self._get_name(name)}: {details['text']}"
        return str(super()._format_error(error))


class _Validator(_ParamValidator):  # type: ignore[misc]
    """botocore's validator, which leaves patterns, enumerations and maxima to the server."""

    def validate(self, params: Any, shape: Shape) -> _Errors:
        errors = _Errors()
        self._validate(params, shape, errors, name="")
        return errors

    def _validate(self, params: Any, shape: Shape, errors: _Errors, name: str) -> None:
        if params == UNKNOWN:
            return
        super()._validate(params, shape, errors, name)
        if isinstance(params, str) and shape.type_name == "string":
            _check_text(params, shape, errors, name)
        maximum = shape.metadata.get("max")
        size = len(params) if isinstance(params, (str, bytes, list, dict)) else params
        if isinstance(size, int) and maximum is not None and size > maximum:
            errors.report(name, "maximum", text=f"{size} is more than {maximum}")

    def _shape_has_constraints(self, shape: Shape) -> bool:  # noqa: ARG002
        return True  # lists of plain values are looked through as well


def _check_text(value: str, shape: Shape, errors: _Errors, name: str) -> None:
    allowed = shape.metadata.get("enum")
    if allowed and value not in allowed:
        near = get_close_matches(value, allowed, FEW) if len(allowed) > FEW else sorted(allowed)
        text = f"{value!r} is none of the {len(allowed)} allowed, such as {', '.join(near)}"
        errors.report(name, "enumeration", text=text)
    pattern = shape.metadata.get("pattern")
    if pattern and not _matches(pattern, value):
        errors.report(name, "pattern", text=f"{value[:80]!r} does not match {pattern}")


def _matches(pattern: str, value: str) -> bool:
    # An anchored pattern says itself where it ends; the others mean the whole text.
    look = regex.search if pattern.startswith("^") else regex.fullmatch
    return look(pattern, value, flags=regex.DOTALL) is not None
