import hashlib
import os
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from infra.agent.build import build


def test_two_builds_are_equal_byte_for_byte_whatever_the_sources_times(tmp_path: Path) -> None:
    first, second = tmp_path / "a" / "agent.pyz", tmp_path / "b" / "agent.pyz"
    digest = build(first)
    os.utime(Path(build.__code__.co_filename).with_name("cli.py"))
    assert build(second) == digest == hashlib.sha256(first.read_bytes()).hexdigest()
    assert first.read_bytes() == second.read_bytes()


def test_it_holds_the_package_alone(tmp_path: Path) -> None:
    target = tmp_path / "agent.pyz"
    build(target)
    with zipfile.ZipFile(target) as archive:
        names = archive.namelist()
    assert names[:2] == ["__main__.py", "infra/__init__.py"]
    assert "infra/agent/serve.py" in names
    assert all(name.startswith("infra/agent/") for name in names[2:])
    assert not any("build" in name or "test" in name for name in names)


def test_it_runs_by_itself_and_names_its_verbs(tmp_path: Path) -> None:
    target = tmp_path / "agent.pyz"
    build(target)
    assert target.read_bytes().startswith(b"#!/usr/bin/python3\n")
    assert target.stat().st_mode & 0o777 == 0o755
    said = subprocess.run(
        [sys.executable, str(target), "--help"], cwd=tmp_path, capture_output=True, check=True
    ).stdout.decode()
    for verb in ("prepare", "initialize", "bootstrap", "serve", "health", "handover"):
        assert verb in said


def test_an_unknown_verb_is_refused(tmp_path: Path) -> None:
    target = tmp_path / "agent.pyz"
    build(target)
    done = subprocess.run([sys.executable, str(target), "sh"], capture_output=True, check=False)
    assert done.returncode == 2
    assert b"invalid choice: 'sh'" in done.stderr


def test_whoever_reads_the_old_agent_while_a_new_one_is_built_reads_it_whole(
    tmp_path: Path,
) -> None:
    target = tmp_path / "agent.pyz"
    target.write_bytes(b"the agent before")
    with target.open("rb") as reader:
        build(target)
        assert reader.read() == b"the agent before"
    assert [path.name for path in tmp_path.iterdir()] == ["agent.pyz"]


def test_a_build_that_fails_leaves_the_old_agent_and_nothing_else(tmp_path: Path) -> None:
    target = tmp_path / "agent.pyz"
    target.mkdir()  # nothing can be renamed over a directory
    with pytest.raises(IsADirectoryError):
        build(target)
    assert [path.name for path in tmp_path.iterdir()] == ["agent.pyz"]
