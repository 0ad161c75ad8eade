import logging
from functools import partial

import pytest

from infra.agent.errors import AgentError
from infra.agent.serve import LONGEST_PAUSE, Duty


def test_a_duty_keeps_its_pace() -> None:
    done: list[float] = []
    duty = Duty("count", 5.0, lambda: done.append(0))
    for now in range(11):
        duty.attend(partial(float, now))
    assert len(done) == 3  # at 0, 5 and 10


def test_a_failing_duty_says_so_once_and_pauses_longer_but_not_for_ever(
    caplog: pytest.LogCaptureFixture,
) -> None:
    def fail() -> None:
        raise AgentError("the store is away")

    duty = Duty("backups", 2.0, fail)
    pauses = []
    now = 0.0
    for _ in range(6):
        duty.attend(partial(float, now))
        pauses.append(duty.due - now)
        now = duty.due
    assert pauses == [2.0, 4.0, 8.0, LONGEST_PAUSE, LONGEST_PAUSE, LONGEST_PAUSE]
    assert [record.message for record in caplog.records] == ["backups: the store is away"]


def test_a_duty_that_works_again_says_so_and_keeps_its_pace_again(
    caplog: pytest.LogCaptureFixture,
) -> None:
    answers = [AgentError("away"), None, None]

    def act() -> None:
        answer = answers.pop(0)
        if answer:
            raise answer

    duty = Duty("pools", 2.0, act)
    with caplog.at_level(logging.INFO):
        duty.attend(lambda: 0.0)
        duty.attend(lambda: 2.0)
    assert duty.due == 4.0
    assert caplog.records[-1].message == "pools: works again"


def test_a_mistake_in_the_agent_itself_is_not_hidden() -> None:
    def blunder() -> None:
        raise KeyError("typo")

    with pytest.raises(KeyError):
        Duty("x", 1.0, blunder).attend(lambda: 0.0)
