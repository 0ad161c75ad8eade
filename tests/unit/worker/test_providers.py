"""Providers from URLs, and the file sink."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from guestcomms.errors import UsageError
from guestcomms.worker import providers
from guestcomms.worker.file_sink import FileSink, Misbehaviour
from guestcomms.worker.message import Message


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("smtp://mail.example:2525?tls=none", "smtp"),
        ("smtps://user@mail.example", "smtp"),
        ("https://example.com/hook", "webhook"),
        ("http://127.0.0.1:8080/hook", "webhook"),
    ],
)
def test_a_url_leads_to_a_provider(url: str, name: str) -> None:
    assert providers.make(url, {"GUESTCOMMS_SMTP_PASSWORD": "x"}).name == name


@pytest.mark.parametrize(
    ("url", "sentence"),
    [
        ("", "leads to no provider; give one like file:/path"),
        ("ftp://example.com", "leads to no provider"),
        ("smtp://", "leads to no provider"),
        ("smtp://host:port", "is no URL"),
        ("http://example.com/hook", "would send addresses in clear"),
        ("smtp://user:secret@host", "holds no password"),
        ("smtp://user@host", "GUESTCOMMS_SMTP_PASSWORD is not set"),
        ("smtp://host?tls=maybe", "tls=maybe is unknown; give one of: starttls, implicit, none"),
        ("smtp://host?tsl=none", "unknown option 'tsl'"),
        ("file:relative", "no absolute path"),
        ("file://host/path", "no absolute path"),
        ("file:/tmp/x?unknown=2", "unknown=2 is out of range"),
        ("file:/tmp/x?delay=soon", "delay=soon is out of range"),
    ],
)
def test_a_wrong_url_is_said_to_be(url: str, sentence: str) -> None:
    with pytest.raises(UsageError) as refusal:
        providers.make(url, {})
    assert sentence in str(refusal.value)
    assert "secret" not in str(refusal.value)


def test_a_password_is_refused_where_arguments_are_seen() -> None:
    with pytest.raises(UsageError, match="in clear"):
        providers.make("smtp://user@host?tls=none", {"GUESTCOMMS_SMTP_PASSWORD": "x"})


def test_the_sink_writes_every_attempt(tmp_path: Path, message: Message) -> None:
    file = tmp_path / "new" / "sink.jsonl"
    sink = FileSink(file, sync=True)
    assert [sink.send(message).kind for _ in range(2)] == ["sent", "sent"]
    sink.close()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert [line["recipient_id"] for line in lines] == [message.recipient_id] * 2
    assert lines[0]["subject"] == "Grüße aus Bonn"
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("fate", ["temporary", "permanent", "unknown"])
def test_the_sink_misbehaves_as_told(tmp_path: Path, message: Message, fate: str) -> None:
    file = tmp_path / "sink"
    sink = providers.make(f"file:{file}?{fate}=1&content=no")
    assert sink.send(message).kind == fate
    sink.close()
    line = json.loads(file.read_text())
    assert line["outcome"] == fate
    assert "body" not in line


def test_a_sink_that_dies_has_written_before(tmp_path: Path, message: Message) -> None:
    file = tmp_path / "sink"
    code = (
        "import sys; from pathlib import Path\n"
        "from guestcomms.worker.file_sink import FileSink, Misbehaviour\n"
        "from guestcomms.worker.message import Message\n"
        f"FileSink(Path({str(file)!r}), misbehaviour=Misbehaviour(die=1)).send({message!r})"
    )
    done = subprocess.run([sys.executable, "-c", code], check=False)
    assert done.returncode == -9
    assert json.loads(file.read_text())["outcome"] == "die"


def test_lines_of_several_processes_never_mix(tmp_path: Path, message: Message) -> None:
    file = tmp_path / "sink"
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            sink = FileSink(file, misbehaviour=Misbehaviour())
            for _ in range(500):
                sink.send(message)
            os._exit(0)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    assert len([json.loads(line) for line in file.read_text().splitlines()]) == 2000


def test_channels_narrow_what_the_providers_carry() -> None:
    both = ["smtp://mail.example", "sms=https://example.com/sms"]
    assert sorted(providers.routes(both)) == ["email", "sms"]
    assert sorted(providers.routes(both, only=["email"])) == ["email"]
    with pytest.raises(UsageError, match=r"No provider carries 'push'; they carry: email, sms\."):
        providers.routes(both, only=["email", "push"])
