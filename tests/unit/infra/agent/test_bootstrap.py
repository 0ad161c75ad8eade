import base64
from pathlib import Path

import pytest

from infra.agent import paths, patroni
from infra.agent.bootstrap import check_logins, fingerprint, forget_refusal
from infra.agent.errors import AgentError

HASH = base64.b64encode(bytes(32)).decode()
VERIFIER = f"SCRAM-SHA-256$4096:{base64.b64encode(bytes(16)).decode()}${HASH}:{HASH}"


def test_logins_pass_whole() -> None:
    logins = {"wedsync_app": {"group": "comms_app", "verifier": VERIFIER}}
    assert check_logins(logins) == logins


def test_a_login_may_be_out_and_another_take_its_place() -> None:
    out = {"group": "comms_app", "verifier": None}
    second = {"group": "comms_app", "verifier": VERIFIER, "takes_over": "wedsync_app"}
    logins = {"wedsync_app": out, "wedsync_app_b": second}
    assert check_logins(logins) == logins
    with pytest.raises(AgentError, match="takes_over"):
        check_logins({"wedsync_app_b": second})
    with pytest.raises(AgentError, match="verifier"):
        check_logins({"wedsync_app": {"group": "comms_app"}})


@pytest.mark.parametrize(
    ("login", "group", "verifier"),
    [
        ("wedsync_app; DROP ROLE x", "comms_app", VERIFIER),
        ("wedsync_app", "comms_owner", VERIFIER),
        ("wedsync_app", "postgres", VERIFIER),
        ("wedsync_app", "comms_app", "hunter2"),
        ("wedsync_app", "comms_app", f"{VERIFIER}\n"),
    ],
)
def test_any_other_login_is_refused_and_its_verifier_not_repeated(
    login: str, group: str, verifier: str
) -> None:
    with pytest.raises(AgentError) as refused:
        check_logins({login: {"group": group, "verifier": verifier}})
    assert verifier not in str(refused.value)


def test_the_fingerprint_follows_contents_and_not_their_order() -> None:
    one = {"group": "comms_app", "verifier": VERIFIER}
    assert fingerprint("SQL", {"a": one, "b": one}) == fingerprint("SQL", {"b": one, "a": one})
    assert fingerprint("SQL", {"a": one}) != fingerprint("SQL2", {"a": one})
    assert fingerprint("SQL", {"a": one}) != fingerprint("SQL", {"a": one | {"group": "comms_ops"}})


@pytest.mark.parametrize("leads", [True, False])
def test_a_refusal_is_forgotten_once_somebody_leads(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, leads: bool
) -> None:
    monkeypatch.setattr(paths, "REFUSED", tmp_path / "refused")
    paths.REFUSED.write_text("the store holds the stanza\n")
    other = patroni.Member("pg-2", leads, "leader", "running", 1, pending_restart=False)
    for _ in range(2):
        forget_refusal({"pg-1": None, "pg-2": other})
        assert paths.REFUSED.exists() is not leads
