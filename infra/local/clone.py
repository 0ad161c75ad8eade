"""Which clone of the repository this is: its objects on the Docker engine carry the answer."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CLONE_FILE = ROOT / ".state" / "clone"


def clone_id() -> str:
    """Six hexadecimal characters, made once and kept with the clone's Pulumi state."""
    CLONE_FILE.parent.mkdir(exist_ok=True)
    try:
        descriptor = os.open(CLONE_FILE, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o644)
    except FileExistsError:
        return CLONE_FILE.read_text(encoding="utf-8").strip()
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        made = secrets.token_hex(3)
        file.write(made + "\n")
    return made
