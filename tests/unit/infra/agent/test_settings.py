"""The merge patch between the settings a cluster has and those it shall have."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from infra.agent.errors import AgentError
from infra.agent.settings import difference, notice_patience

SCALARS = st.one_of(st.integers(), st.booleans(), st.text(max_size=5))
SETTINGS = st.recursive(
    st.dictionaries(st.text(max_size=3), SCALARS, max_size=4),
    lambda inner: st.dictionaries(st.text(max_size=3), st.one_of(SCALARS, inner), max_size=4),
)


def merge(target: Any, patch: Any) -> Any:
    """RFC 7396, as Patroni does it."""
    if not isinstance(patch, dict):
        return patch
    merged = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            merged.pop(key, None)
        else:
            merged[key] = merge(merged.get(key), value)
    return merged


@pytest.mark.parametrize(
    ("present", "wanted", "patch"),
    [
        ({"ttl": 30}, {"ttl": 30}, {}),
        ({"ttl": 30}, {"ttl": 20}, {"ttl": 20}),
        ({"pause": True, "ttl": 30}, {"ttl": 30}, {"pause": None}),
        (
            {"postgresql": {"parameters": {"work_mem": "4MB", "jit": "on"}}},
            {"postgresql": {"parameters": {"work_mem": "8MB"}}},
            {"postgresql": {"parameters": {"work_mem": "8MB", "jit": None}}},
        ),
    ],
)
def test_the_patch_says_only_what_differs(
    present: dict[str, Any], wanted: dict[str, Any], patch: dict[str, Any]
) -> None:
    assert difference(present, wanted) == patch


@given(present=SETTINGS, wanted=SETTINGS)
def test_the_patch_leads_from_what_is_to_what_shall_be(
    present: dict[str, Any], wanted: dict[str, Any]
) -> None:
    assert merge(present, difference(present, wanted)) == wanted
    assert difference(wanted, wanted) == {}


@pytest.mark.parametrize(
    ("live", "seconds"), [({"loop_wait": 3}, 8), ({"loop_wait": 30}, 35), ({}, 15)]
)
def test_members_have_as_long_to_notice_as_the_live_settings_give_them(
    live: dict[str, Any], seconds: float
) -> None:
    assert notice_patience(live) == seconds


@pytest.mark.parametrize("wrong", ["soon", None, 0, True])
def test_a_pause_between_looks_that_is_none_is_refused(wrong: object) -> None:
    with pytest.raises(AgentError, match="loop_wait"):
        notice_patience({"loop_wait": wrong})
