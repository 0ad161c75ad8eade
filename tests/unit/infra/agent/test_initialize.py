import dataclasses
from typing import Any

import pytest

from infra.agent.errors import AgentError
from infra.agent.facts import Machine
from infra.agent.initialize import check_wanted
from infra.agent.pgbackrest import Holding, Stanza, parse_info

NOTHING = Stanza(1, "missing stanza path", ())


def test_a_new_cluster_fits_an_empty_store(machine: Machine) -> None:
    check_wanted(machine, Holding.NOTHING, NOTHING)


def test_a_restore_fits_a_store_with_a_backup(machine: Machine, info: Any) -> None:
    machine = dataclasses.replace(machine, bootstrap="restore")
    check_wanted(machine, Holding.STANZA, parse_info(info, "wedsync"))


def test_a_store_that_holds_the_stanza_is_never_written_over(machine: Machine, info: Any) -> None:
    with pytest.raises(AgentError) as refused:
        check_wanted(machine, Holding.STANZA, parse_info(info, "wedsync"))
    said = str(refused.value)
    assert "2 backups, newest 20261122-114022F_20261122-114023I of 2026-11-22 11:40 UTC" in said
    assert "guestcomms:bootstrap to `restore`" in said
    assert "empty the repository" in said


@pytest.mark.parametrize("held", [Holding.STANZA, Holding.UNREADABLE])
def test_neither_is_one_without_a_backup_or_that_cannot_be_read(
    machine: Machine, held: Holding
) -> None:
    with pytest.raises(AgentError, match="already holds stanza wedsync"):
        check_wanted(machine, held, Stanza(99, "FormatError", ()))


@pytest.mark.parametrize(
    ("held", "what"),
    [
        (Holding.NOTHING, "holds no stanza wedsync"),
        (Holding.STANZA, "without a finished backup"),
        (Holding.UNREADABLE, "cannot be read"),
    ],
)
def test_nothing_is_restored_from_nothing(machine: Machine, held: Holding, what: str) -> None:
    machine = dataclasses.replace(machine, bootstrap="restore")
    with pytest.raises(AgentError, match=what):
        check_wanted(machine, held, NOTHING)
