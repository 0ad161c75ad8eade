"""Where the program keeps what it makes: beside the state, in the clone."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
AGENT = ROOT / ".state" / "agent.pyz"
