"""Where things lie in the clone that this package was installed from.

The package is installed editable, so its own place names the clone, whatever the working directory.
"""

from __future__ import annotations

from pathlib import Path

from guestcomms.errors import RefusedError

ROOT = Path(__file__).resolve().parents[2]
"""The clone: the folder of Pulumi.yaml."""
STATE = ROOT / ".state"
"""What this clone made and git ignores: stack state, evidence, links to tools."""
TOOLS = STATE / "tools" / "bin"
"""Links to the programs that this clone uses and PATH did not have."""
VENV = ROOT / ".venv" / "bin"


def check_clone() -> None:
    """Raise `RefusedError` if this package does not lie in a clone (no `pip install -e`)."""
    if not (ROOT / "Pulumi.yaml").is_file():
        raise RefusedError(
            f"There is no Pulumi.yaml in {ROOT}, so this is not a clone of the project; "
            "run `make tools` in the clone and use its .venv/bin/guestcomms."
        )


def stack_file(stack: str) -> Path:
    """The configuration of a stack, committed except for stacks of tests."""
    return ROOT / "infra" / "stacks" / f"Pulumi.{stack}.yaml"


def stack_directory(stack: str) -> Path:
    """Files derived from a stack (its CA certificate), made on first use."""
    directory = STATE / "stacks" / stack
    directory.mkdir(parents=True, exist_ok=True)
    return directory


def evidence(name: str) -> Path:
    """A JSON file that keeps what was measured; its folder is made on first use."""
    directory = STATE / "evidence"
    directory.mkdir(parents=True, exist_ok=True)
    return directory / f"{name}.json"


def clone_id() -> str | None:
    """The six characters that tell this clone's containers from another's; None before `up`."""
    try:
        return (STATE / "clone").read_text().strip() or None
    except FileNotFoundError:
        return None
