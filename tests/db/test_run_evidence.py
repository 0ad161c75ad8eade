"""What `backup show` and `restore history` tell of runs: each has its document."""

from __future__ import annotations

import json

import pytest
from guestcomms import db
from guestcomms.cli.__main__ import main
from guestcomms.stack import Outputs, Stack

from tests.db.server import Database
from tests.db.test_backups import complete_next
from tests.db.test_drills import PROOF, ask, claim, complete
from tests.db.test_table_restores import Local

RESTORE = "restore_20260102_030405"
VERSIONS = {"agent": "0123456789ab", "pgbackrest": "2.55.1", "postgresql": "17.6"}
DOCUMENT = {
    "what": "cluster_restore", "verdict": "restored", "versions": VERSIONS,
    "figures": {"stages_seconds": 61.5},
    "stages": [
        {"name": "Stop the cluster", "seconds": 1.5, "outcome": "interrupted"},
        {"name": "Stop the cluster", "seconds": 60, "outcome": "done"},
    ],
}  # fmt: skip


@pytest.fixture
def stack(database: Database, monkeypatch: pytest.MonkeyPatch) -> Database:
    """A stack whose ledger has a backup, a drill, and the restore that the database came from."""
    complete_next(database)
    server = database.server
    outputs = Outputs.model_validate(
        {"stack": "local", "place": "local", "clone": "0", "database": database.name, "spec": {},
         "endpoints": {"read_write": {"host": server.host, "port": server.port}},
         "ca_certificate": "", "machines": {}, "logins": {}}
    )  # fmt: skip
    monkeypatch.setattr(Stack, "load", lambda _: Local("local", outputs, {}))
    drill_id = ask(database)["drill_id"]
    claim(database)
    told = {"what": "restore_drill", "versions": VERSIONS}
    complete(database, drill_id, PROOF | {"evidence": told})
    restore = {
        "restore_id": RESTORE, "target_type": "time", "target": "2026-01-02 03:04:05+00",
        "inclusive": True, "label": PROOF["label"], "reached_lsn": "0/2000158",
        "abandoned_timeline": 1, "abandoned_at": "2026-01-02 04:04:05+00",
    }  # fmt: skip
    database.execute("SELECT freeze_sending('restored')", "wedsync_ops")
    record = f"SELECT internal.record_cluster_restore('{json.dumps(restore)}')"
    database.execute(record, "guestcomms_agent")
    return database


def test_history_lists_drills_and_restores_of_the_cluster(
    stack: Database, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["restore", "history", "--json"]) == 0
    cluster, drill = json.loads(capsys.readouterr().out)
    assert (cluster["restore_id"], cluster["verdict"]) == (RESTORE, "under way")
    assert (drill["verdict"], drill["evidence"]["verdict"]) == ("proven", "proven")
    assert drill["evidence"]["versions"] == VERSIONS
    document = f"SELECT internal.document_cluster_restore('{RESTORE}', '{json.dumps(DOCUMENT)}')"
    stack.execute(document, "guestcomms_agent")
    assert main(["restore", "history", "--json", "--limit", "1"]) == 0
    (cluster,) = json.loads(capsys.readouterr().out)
    assert (cluster["verdict"], cluster["evidence"]) == ("restored", DOCUMENT)
    assert main(["restore", "history"]) == 0
    assert main(["restore", "show", RESTORE]) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in ("61.5 s", "interrupted", "pgbackrest 2.55.1", "time 2026-01-02 03:04:05+00"):
        assert words in said


def test_history_lists_what_was_undone(stack: Database, capsys: pytest.CaptureFixture[str]) -> None:
    undone = DOCUMENT | {
        "verdict": "undone", "restore_id": "restore_20260103_030405", "label": PROOF["label"],
        "target": {"type": "name", "value": "before_the_import", "inclusive": True},
    }  # fmt: skip
    written = f"SELECT internal.document_undone_restore('{json.dumps(undone)}')"
    stack.execute(written, "guestcomms_agent")
    assert main(["restore", "history", "--json", "--limit", "1"]) == 0
    (cluster,) = json.loads(capsys.readouterr().out)
    assert (cluster["verdict"], cluster["evidence"]) == ("undone", undone)
    assert main(["restore", "show", "restore_20260103_030405"]) == 0
    said = " ".join(capsys.readouterr().out.split())
    assert "name before_the_import state undone" in said
    assert "left timeline" not in said
    with pytest.raises(db.DatabaseError) as refusal:
        stack.execute(written.replace("restore_20260103_030405", RESTORE), "guestcomms_agent")
    assert refusal.value.sqlstate == "GC148"


@pytest.mark.usefixtures("stack")
def test_a_restore_that_never_was_is_not_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["restore", "show", "restore_20200101_000000"]) == 1
    assert "There is no restore" in capsys.readouterr().err


@pytest.mark.usefixtures("stack")
def test_a_backup_is_shown_without_a_document_too(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["backup", "show", str(PROOF["label"])]) == 0
    assert "made with" in capsys.readouterr().out
    assert main(["backup", "show", str(PROOF["label"]), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["evidence"] is None
