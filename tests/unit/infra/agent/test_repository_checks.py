"""A check of the repository ends, whatever happens in it."""

from __future__ import annotations

import pytest

from infra.agent.errors import AgentError
from infra.agent.repository_checks import Evidence, _work


@pytest.mark.parametrize(
    "problem",
    [
        AgentError("away"),
        OSError("full"),
        IndexError("no last word"),
        UnicodeDecodeError("ascii", b"\xff", 0, 1, "?"),
    ],
)
def test_a_check_always_has_an_outcome(problem: Exception) -> None:
    """One without would keep its lease, and its kind, for ever."""

    def work() -> Evidence:
        raise problem

    outcome: list[Evidence | Exception] = []
    _work(work, outcome)
    (error,) = outcome
    assert isinstance(error, (AgentError, OSError))
    assert str(problem.args[0]) in str(error)
