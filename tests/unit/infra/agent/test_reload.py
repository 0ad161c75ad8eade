from pathlib import Path

import pytest

from infra.agent import paths, reload
from infra.agent.errors import AgentError


@pytest.fixture(autouse=True)
def due(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(paths, "RELOAD_DUE", tmp_path / "reload-due")
    return paths.RELOAD_DUE


@pytest.mark.parametrize(
    ("changed", "wanted"),
    [
        (paths.CERTIFICATE, True),
        (paths.CERTIFICATE_AND_KEY, True),
        (paths.STORE_IDENTITIES, True),
        (paths.POOLER_USERS, True),
        (paths.PROMETHEUS, True),
        (paths.ALERTMANAGER, True),
        (paths.PATRONI_SETTINGS, True),
        (paths.PROXY, True),
        (paths.HOSTS, False),
        (paths.REPOSITORY_CONFIGURATION, False),
        (paths.LOGINS, False),
    ],
)
def test_a_reload_is_due_when_a_file_changed_that_is_read_once(
    due: Path, changed: Path, *, wanted: bool
) -> None:
    reload.note(changed)
    assert due.exists() is wanted


def test_nothing_is_asked_of_systemd_where_nothing_is_due(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    reload.if_due("database")


def test_a_reload_that_failed_stays_due(due: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    reload.note(paths.CERTIFICATE)
    for _ in range(2):
        with pytest.raises(AgentError, match="systemctl"):
            reload.if_due("database")
        assert due.exists()


def test_a_machine_without_such_servers_has_nothing_to_reload(due: Path) -> None:
    reload.note(paths.CERTIFICATE)
    reload.if_due("drill")
    assert not due.exists()


def test_etcd_restarts_only_for_other_authorities() -> None:
    certificate = reload.readers("database", [paths.CERTIFICATE])
    assert "etcd.service" not in certificate
    both = reload.readers("database", [paths.CERTIFICATE, paths.CA_CERTIFICATE])
    # Before Patroni, which asks etcd as soon as it reads its files.
    assert list(both) == ["etcd.service", *certificate]
    assert "etcd.service" not in reload.readers("monitor", [paths.CA_CERTIFICATE])
