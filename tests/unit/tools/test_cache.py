from __future__ import annotations

import subprocess
import sys
import textwrap
from typing import TYPE_CHECKING

import pytest

from tools import cache
from tools.command import ROOT
from tools.progress import Step

if TYPE_CHECKING:
    from pathlib import Path

SLOW_BUILD = textwrap.dedent("""
    import sys, time
    from pathlib import Path
    from tools import cache
    from tools.progress import Step

    def build(folder):
        with open(sys.argv[1], "a") as log:
            log.write("built\\n")
        time.sleep(0.5)
        (folder / "tool").write_text("whole")

    entry = cache.build_once("tool", "0123", Step("tool"), build)
    assert (entry / "tool").read_text() == "whole"
""")


@pytest.fixture(autouse=True)
def cache_root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "guestcomms"


def test_the_key_follows_contents_and_settings(tmp_path: Path) -> None:
    file = tmp_path / "go.mod"
    file.write_text("go 1.25.0\n", "utf-8")
    first = cache.digest([file], "-trimpath")
    assert cache.digest([file], "-trimpath") == first
    assert cache.digest([file], "-race") != first
    file.write_text("go 1.26.0\n", "utf-8")
    assert cache.digest([file], "-trimpath") != first


def test_the_key_keeps_inputs_apart() -> None:
    assert cache.digest([], "ab", "c") != cache.digest([], "a", "bc")


def test_two_clones_at_once_build_one_time(tmp_path: Path) -> None:
    log = tmp_path / "log"
    command = [sys.executable, "-c", SLOW_BUILD, str(log)]
    clones = [subprocess.Popen(command, cwd=ROOT) for _ in range(2)]
    assert [clone.wait(timeout=60) for clone in clones] == [0, 0]
    assert log.read_text("utf-8") == "built\n"


def test_a_failed_build_leaves_nothing(cache_root: Path) -> None:
    def fail(folder: Path) -> None:
        (folder / "half").touch()
        raise OSError("disk full")

    with pytest.raises(OSError, match="disk full"):
        cache.build_once("tool", "0123", Step("tool"), fail)
    assert [path.name for path in cache_root.iterdir()] == ["tool.lock"]


def test_what_a_killed_build_left_is_removed(cache_root: Path) -> None:
    leftover = cache_root / ".tool-0123-abcd"
    (leftover / "half").mkdir(parents=True)
    entry = cache.build_once("tool", "0123", Step("tool"), lambda folder: (folder / "x").touch())
    assert (entry / "x").exists()
    assert not leftover.exists()
