"""What the provider does with a thing: check, compare, create, change, read, delete."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any

from tests.fake_aws.calls import calls_for, filled, template_values
from tests.fake_aws.kinds.names import BUCKET, OBJECT
from tests.fake_aws.model import ALL, Kind, Make, Props
from tests.fake_aws.service import UNKNOWN, Refused, operation
from tests.fake_aws.world import Item, World, values_at

MAX_TAGS = 50


@dataclass(frozen=True)
class Where:
    """Which resource of the program it is, and what its provider adds."""

    urn: str
    region: str
    default_tags: Mapping[str, str]

    @property
    def name(self) -> str:
        """The resource's name in the program."""
        return self.urn.rpartition("::")[2]


def with_defaults(kind: Kind, props: Props, olds: Props, name: str, seed: str) -> Props:
    """The inputs with the name that the provider makes up where the program gives none."""
    auto = kind.autoname
    if auto is None or auto in props or f"{auto}Prefix" in props:
        return props
    return {**props, auto: olds.get(auto) or f"{name}-{seed[:7] or '0000000'}"}


def check(kind: Kind, inputs: Props, region: str, default_tags: Mapping[str, str]) -> None:
    """Judge the calls that these inputs lead to, before anything is made.

    Raises:
        Refused: AWS would not accept a call.
        NoRuleError: a property has no rule.
    """
    item = _draft(kind, inputs, Where("", region, default_tags))
    calls_for(kind, item)


def diff(
    kind: Kind, olds: Props, news: Props, ignored: Collection[str]
) -> tuple[list[str], list[str]]:
    """The changed properties, and those of them that take a new thing."""
    names = sorted({*olds, *news} - set(ignored))
    changed = [name for name in names if olds.get(name) != news.get(name)]
    if kind.replace == ALL:
        fixed = set(changed) - {"tags", "tagsAll"}
    else:
        fixed = set(changed) & (kind.replace | {"region"})
        fixed |= kind.replace_when(olds, news) if kind.replace_when else set()
    return changed, sorted(fixed)


def create(world: World, kind: Kind, inputs: Props, where: Where, *, preview: bool = False) -> Item:
    """Make a thing, or in a preview say what it would be.

    Raises:
        Refused: the calls or the world do not admit it.
    """
    if preview:
        world.forget(where.urn)
    item = _draft(kind, inputs, where)
    calls = calls_for(kind, item)
    _judge(world, kind, item)
    values = template_values(item, UNKNOWN if preview else world.hex())
    item.id = str(filled(kind.id, values))
    if world.items.get(item.key) is not None:
        raise Refused(kind.taken, f"{item.token} {item.id} exists already")
    if preview:
        computed = {name: UNKNOWN for name in kind.outputs if name not in item.inputs}
        item.outputs |= computed
        world.add(item)
        return item
    _compute(world, kind, item, template_values(item, values["hex"]))
    item.outputs["id"] = item.id
    world.add(item)
    for companion in kind.companions(world, item) if kind.companions else []:
        companion.owner = item.id
        world.add(companion)
    for name, params in calls:
        world.log(name, item, params)
    return item


def update(world: World, kind: Kind, ident: str, inputs: Props, where: Where) -> Item:
    """Change a thing in place.

    Raises:
        Refused: it is gone, or the calls or the world do not admit the change.
    """
    old = read(world, kind, ident)
    if old is None:
        raise Refused("ResourceNotFoundException", f"{kind.token} {ident} is gone")
    changed, _ = diff(kind, old.inputs, inputs, ())
    item = _draft(kind, inputs, where)
    item.id, item.owner = old.id, old.owner
    calls_for(kind, item)
    world.items.pop(old.key)  # a thing is not its own rival
    _judge(world, kind, item)
    _compute(world, kind, item, template_values(item, old.id.rpartition("-")[2]))
    item.outputs = {**item.outputs, **_kept(kind, old), **_tags_all(kind, inputs, where)}
    world.add(item)
    others = [name for name in changed if name not in {"tags", "tagsAll"}]
    if others and kind.update is None:
        raise Refused("InvalidOperation", f"{kind.token}: {', '.join(others)} cannot be changed")
    if others and kind.update:
        operation(kind.update)
        world.log(kind.update, item, {name: inputs.get(name) for name in others})
    return item


def read(world: World, kind: Kind, ident: str) -> Item | None:
    """The thing as it stands in the world; None if it is gone."""
    return world.find((kind.token,), "id", ident)


def delete(world: World, kind: Kind, ident: str, props: Props) -> None:
    """Take a thing out of the world; one that is gone already is no error.

    Raises:
        Refused: it is protected, or something refers to it.
    """
    item = read(world, kind, ident)
    if item is None:
        return
    if kind.guarded and item.get(kind.guarded) is True and not props.get("forceDestroy"):
        raise Refused("OperationNotPermitted", f"{kind.guarded} of {ident} is on")
    if kind.token == BUCKET and props.get("forceDestroy"):
        for each in world.of(OBJECT):
            if each.get("bucket") == ident:
                world.remove(each)
                world.log("s3:DeleteObjectVersion", each, {})
    world.remove(item)
    if kind.delete:
        operation(kind.delete)
        world.log(kind.delete, item, {})


def _draft(kind: Kind, inputs: Props, where: Where) -> Item:
    region = inputs.get("region") or where.region
    item = Item(kind.token, UNKNOWN, where.region if region == UNKNOWN else region, dict(inputs))
    item.urn = where.urn
    item.outputs |= _tags_all(kind, inputs, where)
    return item


def _tags_all(kind: Kind, inputs: Props, where: Where) -> Props:
    if "tags" not in inputs and not where.default_tags:
        return {}
    if inputs.get("tags") == UNKNOWN:
        return {"tagsAll": UNKNOWN}
    tags = {**where.default_tags, **(inputs.get("tags") or {})}
    if len(tags) > MAX_TAGS:
        raise Refused("TagLimitExceeded", f"{kind.token}: {len(tags)} tags, at most {MAX_TAGS}")
    for key, value in tags.items():
        if key.lower().startswith("aws:") or not 1 <= len(key) <= 128 or len(str(value)) > 256:
            raise Refused("InvalidTag", f"{kind.token}: tag {key!r} = {value!r}")
    return {"tagsAll": tags}


def _judge(world: World, kind: Kind, item: Item) -> None:
    """References, uniqueness, and the kind's own rules."""
    item.refs = []
    for ref in kind.refs:
        for value in values_at(item.inputs, ref.path):
            found = world.must_find(ref, value)
            if ref.blocks:
                item.refs.append((found.token, found.id, ref.path))
    for names in kind.unique:
        wanted = [item.get(name) for name in names]
        if any(value is None for value in wanted):
            continue
        for other in world.of(kind.token, region=item.region):
            if [other.get(name) for name in names] == wanted:
                text = ", ".join(f"{n} {v!r}" for n, v in zip(names, wanted, strict=True))
                raise Refused(kind.taken, f"{kind.token} with {text} exists already ({other.id})")
    for rule in kind.checks:
        rule(world, item)


def _compute(world: World, kind: Kind, item: Item, values: Mapping[str, str]) -> None:
    for name, rule in kind.outputs.items():
        if name in item.inputs:
            continue
        item.outputs[name] = _made(world, item, rule, values)


def _made(world: World, item: Item, rule: str | Make, values: Mapping[str, str]) -> Any:
    return rule(world, item) if callable(rule) else filled(rule, {**values, **_texts(item)})


def _texts(item: Item) -> dict[str, str]:
    return {k: str(v) for k, v in item.outputs.items() if isinstance(v, (str, int))}


def _kept(kind: Kind, old: Item) -> Props:
    """What stays what it was: everything AWS computed once."""
    return {name: old.outputs[name] for name in {*kind.outputs, "id"} if name in old.outputs}
