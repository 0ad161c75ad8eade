"""No secret is in clear anywhere but inside its machine."""

import json
from typing import Any

from tests.ops.local.stack import Stack

SECRET_OUTPUTS = ("value", "private_key")


def secret_values(state: dict[str, Any]) -> set[str]:
    """Return every secret of a stack; of a PEM, the lines that nobody could write by chance."""
    found = set()
    for resource in state["deployment"]["resources"]:
        for name in SECRET_OUTPUTS:
            if name in resource.get("outputs", {}):
                value = json.loads(resource["outputs"][name]["plaintext"])
                found |= {line for line in value.splitlines() if not line.startswith("-----")}
    return found


def found_in(text: str, needles: set[str]) -> int:
    return sum(needle in text for needle in needles)


def test_no_secret_in_state_events_or_docker(stack: Stack) -> None:
    # A change of all machines makes events and history that mention their secrets.
    stack.change(store_port=stack.settings["store_port"] + 1)
    events = stack.pulumi("up", "--yes", "--json") + stack.pulumi("refresh", "--yes", "--json")
    values = secret_values(stack.exported())
    assert len(values) == 4 + 3 * 3  # random secrets; lines of the keys of authority and machines
    files = [path for path in stack.backend.rglob("*") if path.is_file()]
    state = "".join(path.read_text(encoding="utf-8") for path in files)
    described = json.dumps([stack.container(name).attrs for name in ("proxy-1", "drill-1")])
    logs = stack.run("drill-1", "journalctl", "--no-pager").output
    processes = json.dumps(stack.container("drill-1").top())
    for text in (events, state, described, logs, processes):
        assert len(text) > 100
        assert found_in(text, values) == 0


def test_search_for_secrets_finds_them_where_they_are(stack: Stack) -> None:
    values = secret_values(stack.exported())
    inside = stack.run("drill-1", "sh", "-c", "cat /etc/guestcomms/secrets/*").output
    assert found_in(inside, values) == 4 + 3
