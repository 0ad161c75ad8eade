"""The committed tables of plans are what the real engine plans."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.ops.aws.plans import STACKS, file_of, planned_tables


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    return planned_tables(Path(tmp_path_factory.mktemp("plans")))


@pytest.mark.parametrize("stack", STACKS)
def test_a_change_of_infrastructure_shows_in_the_committed_plan(
    tables: dict[str, str], stack: str
) -> None:
    assert file_of(stack).read_text(encoding="utf-8") == tables[stack], (
        "the plan differs from docs/plans; run `.venv/bin/python -m tests.ops.aws.plans`"
        " and look at what changed"
    )
