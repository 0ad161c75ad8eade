"""`forget`: take a machine out of the cluster's memory before it goes for good.

Runs on a machine that stays. An etcd member that is gone but not taken out counts against the
majority for ever; so it is taken out first, one at a time, and only while all that stay are
healthy. Patroni forgets the member by itself, and its replication slot after `member_slots_ttl`.
"""

import logging
import time
from collections.abc import Mapping
from typing import Any

from infra.agent import etcd
from infra.agent.errors import AgentError
from infra.agent.facts import Machine

PATIENCE = 30.0  # seconds until those that stay are healthy again
PAUSE = 1.0

log = logging.getLogger(__name__)


def forget(machine: Machine, leaving: str) -> Mapping[str, Any]:
    """Take machine `leaving` out of etcd's cluster.

    Returns:
        {"machine": leaving, "removed": whether it was a member, "members": the names that remain}

    Raises:
        AgentError: the machine belongs to the cluster, or etcd could not do without it.
    """
    if leaving in machine.database_machines:
        raise AgentError(
            f"{leaving} is a machine of this cluster; make database_nodes smaller to remove it"
        )
    if sick := _sick(machine):
        raise AgentError(f"etcd is not healthy on {', '.join(sick)}: {leaving} has to stay")
    members = etcd.membership(machine.name)
    if leaving in members:
        if etcd.leads(leaving):
            successor = etcd.members([machine.name])[machine.name]
            etcd.move_leader(leaving, successor)
        etcd.remove_member(machine.name, leaving, members[leaving])
        log.info("etcd has no member %s any more", leaving)
    give_up = time.monotonic() + PATIENCE
    while sick := _sick(machine):
        if time.monotonic() > give_up:
            raise AgentError(f"without {leaving} etcd is not healthy on {', '.join(sick)}")
        time.sleep(PAUSE)
    return {
        "machine": leaving,
        "removed": leaving in members,
        "members": sorted(etcd.membership(machine.name)),
    }


def _sick(machine: Machine) -> list[str]:
    found = etcd.members(machine.database_machines)
    return sorted(name for name, member in found.items() if not member.healthy)
