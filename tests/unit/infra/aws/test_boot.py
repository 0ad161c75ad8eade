"""What an instance does at boot: the table of file systems, the files it fetches, IMDSv2 only."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from infra.aws import boot

VOLUMES = {"/var/lib/postgresql": "vol-0aa", "/var/lib/etcd": "vol-0bb"}


def test_the_table_keeps_what_was_there_and_is_the_same_the_second_time() -> None:
    first = boot.fstab("LABEL=root / ext4 defaults 0 1\n", VOLUMES)
    assert first.startswith("LABEL=root / ext4 defaults 0 1\n")
    assert boot.fstab(first, VOLUMES) == first
    lines = [line.split() for line in first.splitlines() if "/dev/disk" in line]
    assert [line[1] for line in lines] == ["/var/lib/etcd", "/var/lib/postgresql"]
    assert lines[1][0] == "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol0aa"


def test_nothing_of_ours_starts_without_its_volume_and_none_is_formatted_twice() -> None:
    options = boot.fstab("", {"/data": "vol-1"}).splitlines()[1].split()[3].split(",")
    assert "x-systemd.required-by=guestcomms-prepare.service" in options
    assert "x-systemd.before=guestcomms-prepare.service" in options
    assert "x-systemd.makefs" in options  # systemd makes none where it finds a signature
    assert "nofail" in options  # the machine still boots, so that somebody can look


def test_a_volume_that_is_taken_away_leaves_the_table() -> None:
    assert "vol0bb" not in boot.fstab(boot.fstab("", VOLUMES), {"/var/lib/postgresql": "vol-0aa"})


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
    with pytest.raises(SystemExit, match="404 for tags/instance/other"):
        boot.metadata("tags/instance/other")
