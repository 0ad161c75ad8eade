"""docs/how-to/send-a-campaign.md: its code runs, and does what it says."""

from __future__ import annotations

import re
from typing import Any

from guestcomms import paths

from tests.db.server import Database

TEXT = (paths.ROOT / "docs" / "how-to" / "send-a-campaign.md").read_text(encoding="utf-8")


def block(language: str) -> str:
    [found] = re.findall(rf"^```{language}\n(.*?)^```", TEXT, flags=re.MULTILINE | re.DOTALL)
    return str(found)


def test_the_code_of_the_page(database: Database) -> None:
    database.execute(block("sql"), "wedsync_ops")
    names: dict[str, Any] = {"DSN": database.dsn("wedsync_app")}
    exec(compile(block("python"), "send-a-campaign.md", "exec"), names)  # noqa: S102
    names["app"].close()
    queued = names["queued"]
    assert (queued["accepted"], queued["suppressed"]) == (2, {"no_address": 1})
    assert names["progress"]["queued"] == 2
    assert [row["status"] for row in names["first_page"]].count("queued") == 2
