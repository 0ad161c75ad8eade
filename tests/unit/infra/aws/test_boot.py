"""What an instance does at boot: the table of file systems, the files it fetches, IMDSv2 only."""

from __future__ import annotations

import configparser
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.aws import boot


def test_nothing_of_ours_starts_without_its_volume() -> None:
    unit = configparser.ConfigParser(interpolation=None)
    unit.read_string(boot.mount_unit("/var/lib/etcd", "/dev/disk/by-id/x", "check.service"))
    assert unit["Mount"]["What"] == "/dev/disk/by-id/x"
    assert unit["Mount"]["Where"] == "/var/lib/etcd"
    assert unit["Install"]["RequiredBy"] == "guestcomms-prepare.service"
    assert unit["Unit"]["Before"] == "guestcomms-prepare.service"


def test_a_file_is_written_once_and_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert boot.install(path, b"one", 0o600)
    assert not boot.install(path, b"one", 0o600)
    assert path.stat().st_mode & 0o777 == 0o600
    assert boot.install(path, b"two", 0o600)
    assert path.read_bytes() == b"two"
    assert list(tmp_path.iterdir()) == [path]


def test_the_agent_is_the_one_that_user_data_pins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(boot, "START", tmp_path / "start")
    (tmp_path / "start").write_text(f'echo "{"ab" * 32}  /opt/guestcomms/agent.pyz" | sha256sum\n')
    assert boot.pinned_agent() == "ab" * 32
    (tmp_path / "start").write_text("echo hello\n")
    with pytest.raises(SystemExit, match="pins no agent"):
        boot.pinned_agent()


class _Metadata(BaseHTTPRequestHandler):
    """A metadata service that speaks IMDSv2 alone."""

    protocol_version = "HTTP/1.1"

    def do_PUT(self) -> None:
        self._say(200 if "X-aws-ec2-metadata-token-ttl-seconds" in self.headers else 400, "token")

    def do_GET(self) -> None:
        known = self.headers.get("X-aws-ec2-metadata-token") == "token"
        found = self.path == "/latest/meta-data/tags/instance/guestcomms:machine"
        self._say(401 if not known else 200 if found else 404, "pg-1")

    def _say(self, status: int, text: str) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(text)))
        self.end_headers()
        self.wfile.write(text.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def metadata(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    server = HTTPServer(("127.0.0.1", 0), _Metadata)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    address = urlsplit(f"http://127.0.0.1:{server.server_port}")
    monkeypatch.setattr(boot, "METADATA", address)
    yield
    server.shutdown()
    thread.join()
    server.server_close()


@pytest.mark.usefixtures("metadata")
def test_instance_tags_are_read_with_a_token() -> None:
    assert boot.metadata("tags/instance/guestcomms:machine") == "pg-1"


@pytest.mark.usefixtures("metadata")
def test_what_the_metadata_service_does_not_know_is_named() -> None:
    with pytest.raises(boot.FetchError, match="404 for tags/instance/other"):
        boot.metadata("tags/instance/other")


def test_at_boot_what_cannot_be_fetched_yet_is_fetched_later(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    reasons = ["too early", "still"]

    def bring() -> list[str]:
        if reasons:
            raise boot.FetchError(reasons.pop())
        return ["/etc/guestcomms/place.json"]

    monkeypatch.setattr(boot, "bring", bring)
    monkeypatch.setattr(boot, "PAUSE", 0)
    assert boot.main(["--wait"]) == 0
    assert capsys.readouterr().out == '{"changed": ["/etc/guestcomms/place.json"]}\n'
    reasons.append("refused")
    with pytest.raises(SystemExit, match="refused"):  # a person or the stack gets the answer
        boot.main([])
