"""The entries are true to the service models and to pulumi-aws."""

from __future__ import annotations

import importlib.util
import re
from pathlib import Path

import pytest

from tests.fake_aws.kinds import KINDS
from tests.fake_aws.model import ALL, Kind
from tests.fake_aws.service import input_shape, operation

SPEC = importlib.util.find_spec("pulumi_aws")  # found, not imported: that takes seconds
PACKAGE = Path(SPEC.origin if SPEC and SPEC.origin else "").parent


def source(kind: Kind) -> str:
    """The module of pulumi-aws that defines a resource type."""
    _, module, name = kind.token.split(":")
    file = re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name).lower()
    text = (PACKAGE / module.partition("/")[0] / f"{file}.py").read_text(encoding="utf-8")
    assert f'@pulumi.type_token("{kind.token}")' in text
    return text


def properties(text: str) -> set[str]:
    """The names of properties in their camelCase form, where it differs from Python's."""
    getter = r'@pulumi\.getter(?:\(name="(\w+)"\))?\n(?:    @.*\n)?    def (\w+)'
    names = set(re.findall(getter, text))
    return {camel or snake for camel, snake in names}


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_operations_are_in_the_models(kind: Kind) -> None:
    for name in (*(call.operation for call in kind.calls), kind.update, kind.delete):
        assert name is None or operation(name).name == name.partition(":")[2]
    for call in kind.calls:
        assert set(call.fixed) <= set(input_shape(call.operation).members)


@pytest.mark.parametrize("kind", KINDS.values(), ids=KINDS)
def test_properties_are_those_of_pulumi_aws(kind: Kind) -> None:
    known = properties(source(kind))
    named = set(kind.outputs) | kind.local | (set() if kind.replace == ALL else kind.replace)
    for call in kind.calls:
        named |= set(call.only) | {name.partition(".")[0] for name in call.names}
    named |= {name for names in kind.unique for name in names}
    named |= {ref.path.partition(".")[0] for ref in kind.refs}
    inner = {name for call in kind.calls if call.each for name in call.names}
    assert named - known - inner - {"tags"} == set()
