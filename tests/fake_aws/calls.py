"""From Pulumi's properties to the parameters of AWS's API calls, by the shapes of the models."""

from __future__ import annotations

import base64
from collections.abc import Mapping
from typing import Any

from tests.fake_aws.model import COMMON_LOCAL, Call, Kind, Props
from tests.fake_aws.service import UNKNOWN, Refused, Shape, input_shape, validate
from tests.fake_aws.world import ACCOUNT, Item

PAIRS = (("Key", "Value"), ("key", "value"), ("TagKey", "TagValue"), ("Name", "Value"))
TAG_MEMBERS = {"TagSpecifications", "Tags", "tags", "TagList"}
Values = Mapping[str, str]


class NoRuleError(Exception):
    """A property that no rule leads to a parameter: the simulation does not know it."""


def template_values(item: Item, hexadecimal: str = UNKNOWN) -> dict[str, str]:
    """What templates may mention: the item's texts, its id, region, account and service names."""
    texts = {k: str(v) for k, v in item.state().items() if isinstance(v, (str, int))}
    return {
        **texts,
        "id": item.id,
        "region": item.region,
        "account": ACCOUNT,
        "hex": hexadecimal,
        "hex6": hexadecimal if hexadecimal == UNKNOWN else hexadecimal[:6],
        "hex16": hexadecimal if hexadecimal == UNKNOWN else hexadecimal[:16],
        "uuid": _uuid(hexadecimal),
    }


def _uuid(text: str) -> str:
    if text == UNKNOWN:
        return text
    digits = text.ljust(32, "0")
    return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:32]}"


def filled(template: Any, values: Values) -> Any:
    """A template with its places filled; unknown where one of them is."""
    if isinstance(template, dict):
        return {key: filled(value, values) for key, value in template.items()}
    if isinstance(template, list):
        return [filled(value, values) for value in template]
    if not isinstance(template, str):
        return template
    text = template.format_map(values)
    return UNKNOWN if UNKNOWN in text else text


def calls_for(kind: Kind, item: Item) -> list[tuple[str, Props]]:
    """The calls that create `item`, each with its parameters, checked against the models.

    Raises:
        Refused: AWS would not accept a call.
        NoRuleError: a property has no rule.
    """
    made = []
    claimed = {name for call in kind.calls[1:] for name in call.only}
    first = set(item.inputs) - claimed - kind.local - COMMON_LOCAL
    for number, call in enumerate(kind.calls):
        names = first if number == 0 else set(call.only) & set(item.inputs)
        if number and not names:
            continue
        props = {name: item.inputs[name] for name in sorted(names)}
        if "tags" in props or (number == 0 and takes_tags(call.operation)):
            props["tags"] = item.outputs.get("tagsAll", {})
            props = {name: value for name, value in props.items() if name != "tags" or value}
        for params in _parameter_sets(call, props, item):
            validate(call.operation, params)
            made.append((call.operation, params))
    return made


def _parameter_sets(call: Call, props: Props, item: Item) -> list[Props]:
    if call.each is None:
        return [_parameters(call, props, item)]
    entries = props[call.each]
    if entries == UNKNOWN:
        return []
    return [_parameters(call, entry, item) for entry in entries]


def takes_tags(name: str) -> bool:
    """Whether an operation has a parameter for tags."""
    return bool(TAG_MEMBERS & set(input_shape(name).members))


def _parameters(call: Call, props: Props, item: Item) -> Props:
    shape = input_shape(call.operation)
    params: Props = filled(dict(call.fixed), template_values(item))
    for name, value in props.items():
        if name == "tags":
            _put_tags(shape, params, value, call.names.get("tags", ""))
            continue
        path = call.names.get(name)
        if path == "*":  # a block whose parts are parameters of their own
            params |= _structure(shape, value, call, name)
            continue
        if path is None:
            path = _member(shape, name, call.operation)
        if not path:
            continue
        _put(shape, params, path.split("."), value, (call, name))
    return params


def _put(shape: Shape, params: Props, path: list[str], value: Any, where: tuple[Call, str]) -> None:
    """Set a parameter at a path; `Name[]` on the way is a list of one,
    `Names*Name` at the end a list of things with one member each."""
    head, rest = path[0], path[1:]
    if "*" in head:
        name, _, key = head.partition("*")
        params[name] = value if value == UNKNOWN else [{key: each} for each in value]
        return
    name = head.removesuffix("[]")
    member = shape.members[name]
    if not rest:
        made = convert(member, value, *where)
        if isinstance(made, dict) and isinstance(params.get(name), dict):
            params[name] |= made
        else:
            params[name] = made
        return
    if head.endswith("[]"):
        entries = params.setdefault(name, [{}])
        _put(member.member, entries[0], rest, value, where)
    else:
        _put(member, params.setdefault(name, {}), rest, value, where)


def _member(shape: Shape, name: str, what: str) -> str:
    """The member that a property's name means: the same letters, a plural s aside."""
    wanted = name.lower()
    alike = {member.lower(): member for member in shape.members}
    for candidate in (wanted, wanted.removesuffix("s"), f"{wanted}s", f"{wanted}list"):
        if candidate in alike:
            return str(alike[candidate])
    raise NoRuleError(f"{what} has no parameter for property {name!r}")


def convert(shape: Shape, value: Any, call: Call, path: str) -> Any:  # noqa: C901, PLR0911
    """A property's value in the form that a parameter's shape wants."""
    if value == UNKNOWN:
        return value
    match shape.type_name:
        case "structure":
            return _structure(shape, value, call, path)
        case "list":
            items = _pairs(shape.member, value) if isinstance(value, dict) else value
            items = items if isinstance(items, list) else [items]
            return [convert(shape.member, each, call, path) for each in items]
        case "map":
            return {k: convert(shape.value, v, call, path) for k, v in value.items()}
        case "integer" | "long":
            return int(value) if isinstance(value, str) and value.isdigit() else value
        case "float" | "double":
            return float(value)
        case "boolean":
            return {"true": True, "false": False}.get(value, value)
        case "blob":
            return base64.b64encode(value.encode()) if isinstance(value, str) else value
        case "string" if isinstance(value, bool):
            return str(value).lower()
        case "string" if isinstance(value, (int, float)):
            return str(value)
    return value


def _structure(shape: Shape, value: Any, call: Call, path: str) -> Any:
    if isinstance(value, list):
        if len(value) != 1:
            raise Refused("ValidationError", f"{path}: one block, not {len(value)}")
        value = value[0]
    if not isinstance(value, dict):
        if "Value" in shape.members:
            return {"Value": convert(shape.members["Value"], value, call, path)}
        return value  # the validator names the wrong type
    if "Items" in shape.members and "Quantity" in shape.members:
        raise NoRuleError(f"{path}: a list with a quantity has no rule")
    made: Props = {}
    for name, each in value.items():
        inner = f"{path}.{name}"
        target = call.names.get(inner)
        if target is None:
            target = _member(shape, name, f"{call.operation} ({path})")
        if target:
            _put(shape, made, target.split("."), each, (call, inner))
    return made


def _pairs(shape: Shape, value: Props) -> list[Any]:
    """A map as the list that AWS takes: `[{Key, Value}]` or `[{Name, Value}]`."""
    members = getattr(shape, "members", {})
    for key, content in PAIRS:
        if key in members:
            return [{key.lower(): k, content.lower(): v} for k, v in value.items()]
    return [value]


def _put_tags(shape: Shape, params: Props, tags: Any, resource_type: str) -> None:
    if "TagSpecifications" in shape.members:
        params["TagSpecifications"] = [
            {"ResourceType": resource_type, "Tags": tags if tags == UNKNOWN else _tags(tags)}
        ]
        return
    for name in ("Tags", "tags", "TagList"):
        if name in shape.members:
            member = shape.members[name]
            if tags == UNKNOWN or member.type_name == "map":
                params[name] = tags
            else:
                keys = list(member.member.members)
                params[name] = [dict(zip(keys, pair, strict=True)) for pair in tags.items()]
            return
    if "Tagging" in shape.members:
        params["Tagging"] = {"TagSet": tags if tags == UNKNOWN else _tags(tags)}
        return
    raise NoRuleError(f"{shape.name} takes no tags")


def _tags(tags: Props) -> list[Props]:
    return [{"Key": key, "Value": value} for key, value in tags.items()]
