"""Plans as tables: what a stack creates, in a form that shows a change of infrastructure in review.

What changes with every edit of a machine's files (user-data, hashes) and what only the update will
know is left out.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from infra.aws.bake import content_hash
from infra.aws.image import IMAGE_TAG
from infra.guardrails.plan import UNKNOWN, Plan, Resource
from tests.fake_aws.lookups import add_image
from tests.ops.aws.project import opened
from tools.command import ROOT

STACKS = ("aws-staging", "aws-prod")

LEFT_OUT = {
    "__defaults", "__provider", "ami", "assumeRolePolicy", "content", "delivered", "instance_id",
    "key", "secretString", "settings", "source", "tagsAll", "userDataBase64",
}  # fmt: skip
LONGEST = 100
AWS = "aws:"


def table(stack: str, plan: Plan) -> str:
    """The plan of a stack as Markdown: how many of each type, then each with its properties."""
    by_type: dict[str, list[Resource]] = defaultdict(list)
    for each in plan.resources:
        if each.type.startswith(AWS):
            by_type[each.type].append(each)
    counts = Counter({kind: len(found) for kind, found in by_type.items()})
    parts = [
        f"# What {stack} creates",
        "",
        (
            f"{counts.total()} resources of AWS, by the real engine's preview. Written by"
            " `.venv/bin/python -m tests.ops.aws.plans`; `make aws` compares it."
        ),
        "",
        (
            "Left out: user-data and what else changes with machine files, policies and ids that"
            " only the update will know, tags `Name`."
        ),
        "",
        "| type | how many |",
        "|---|---|",
        *(f"| [{_short(kind)}](#{_anchor(kind)}) | {counts[kind]} |" for kind in sorted(counts)),
    ]
    for kind in sorted(by_type):
        parts += ["", f"## {_short(kind)}", "", "| name | properties |", "|---|---|"]
        for each in sorted(by_type[kind], key=lambda item: item.name):
            protected = "**protected** " if each.protected else ""
            shown = _properties(each.name, each.props)
            parts.append(f"| `{each.name}` | {protected}{shown} |")
    return "\n".join(parts) + "\n"


def _short(kind: str) -> str:
    """`aws:ec2/instance:Instance` → `ec2 Instance`."""
    package, _, name = kind.removeprefix(AWS).partition(":")
    return f"{package.partition('/')[0]} {name}"


def _anchor(kind: str) -> str:
    return _short(kind).lower().replace(" ", "-")


def _properties(name: str, props: Mapping[str, Any]) -> str:
    # A name that the provider makes up ends in digits of its own in every run.
    made_up = re.compile(re.escape(name) + r"-[0-9a-f]{7}$")
    shown = sorted(f"{key}={made_up.sub(f'{name}-…', value)}" for key, value in _flat("", props))
    return " ".join(f"`{each}`" for each in shown).replace("|", "\\|")


def _flat(path: str, value: Any) -> Iterator[tuple[str, str]]:
    """Dotted path → text, without what is unknown, secret, changing or too long to read."""
    if isinstance(value, Mapping):
        for key, inner in value.items():
            if key not in LEFT_OUT and (path, key) != ("tags", "Name"):
                yield from _flat(f"{path}.{key}" if path else key, inner)
    elif isinstance(value, list):
        if all(isinstance(item, str) and item in UNKNOWN for item in value):
            return
        if any(isinstance(item, (Mapping, list)) for item in value):
            for number, item in enumerate(value):
                yield from _flat(f"{path}[{number}]", item)
        else:
            known = [item for item in value if item not in UNKNOWN]
            yield path, ",".join(_text(item) for item in known)
    elif not (isinstance(value, str) and value in UNKNOWN) and len(_text(value)) <= LONGEST:
        yield path, _text(value)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def planned_tables(folder: Path) -> dict[str, str]:
    """The tables of all stacks, planned in a folder of their own where their image is baked."""
    with opened(folder) as (project, _):
        project.world.folder.mkdir(exist_ok=True)
        tags = {IMAGE_TAG: content_hash("")}
        add_image(project.world, "guestcomms", "arm64", "eu-central-1", tags)
        return {stack: table(stack, project.planned(stack)) for stack in STACKS}


def file_of(stack: str) -> Path:
    """Where the table of a stack is committed."""
    return ROOT / "docs" / "plans" / f"{stack}.md"


def main() -> None:
    """Write the tables anew."""
    with TemporaryDirectory() as folder:
        for stack, text in planned_tables(Path(folder)).items():
            file_of(stack).parent.mkdir(exist_ok=True)
            file_of(stack).write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
