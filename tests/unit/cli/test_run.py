"""Programs are run with secrets out of sight, and their failures reach the person."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from guestcomms import run
from guestcomms.errors import RefusedError


def test_output_and_exit_code_come_back() -> None:
    done = run.capture(["sh", "-c", "cat; echo no >&2"], stdin="yes", todo="-")
    assert (done.stdout, done.stderr, done.exit_code) == ("yes", "no\n", 0)


def test_a_failure_says_the_last_lines_of_stderr_and_what_to_do() -> None:
    script = "for n in 1 2 3 4 5 6 7; do echo line $n >&2; done; exit 3"
    with pytest.raises(run.CommandError) as caught:
        run.capture(["sh", "-c", script], todo="do this next")
    assert caught.value.status == 3
    assert "exit code 3: line 3 | line 4 | line 5 | line 6 | line 7; do this next." in str(
        caught.value
    )


def test_a_failure_can_be_a_result() -> None:
    assert run.capture(["sh", "-c", "exit 4"], todo="-", check=False).exit_code == 4


def test_what_takes_too_long_is_stopped() -> None:
    start = time.monotonic()
    with pytest.raises(run.CommandError, match=r"`sleep 60` was stopped, not done after 0.2 s"):
        run.capture(["sleep", "60"], todo="-", timeout_seconds=0.2)
    assert time.monotonic() - start < 10


def test_a_missing_program_is_named_with_the_way_to_get_it() -> None:
    with pytest.raises(RefusedError, match="`no-such-program` is not installed; run `make tools`"):
        run.capture(["no-such-program"], todo="-", install="run `make tools`")


def test_the_environment_carries_what_arguments_must_not() -> None:
    secret = {"GC_SECRET": "sesame"}
    done = run.capture(
        ["sh", "-c", 'echo $GC_SECRET; cat "/proc/$$/cmdline"'], env=secret, todo="-"
    )
    words, _, arguments = done.stdout.partition("\n")
    assert words == "sesame"
    assert "sesame" not in arguments


def test_stdout_stays_free_for_a_result(capfd: pytest.CaptureFixture[str]) -> None:
    run.stream(["sh", "-c", "echo progress"], todo="-", to_stderr=True)
    printed = capfd.readouterr()
    assert (printed.out, printed.err) == ("", "progress\n")


def test_a_program_on_the_terminal_reports_its_exit_code() -> None:
    with pytest.raises(run.CommandError) as caught:
        run.stream(["sh", "-c", "exit 7"], todo="-")
    assert caught.value.status == 7


def test_interrupting_waits_until_the_program_has_cleaned_up(tmp_path: Path) -> None:
    ready, cleaned = tmp_path / "ready", tmp_path / "cleaned"
    clean_up = f"trap 'sleep 0.3; touch {cleaned}; exit 9' INT"
    script = f"{clean_up}; touch {ready}; while :; do sleep 0.05; done"
    code = f"from guestcomms import run; run.stream(['sh', '-c', {script!r}], todo='-')"
    ours = subprocess.Popen(  # in a group of its own, as a terminal would make it
        [sys.executable, "-c", code], start_new_session=True, stderr=subprocess.PIPE, text=True
    )
    deadline = time.monotonic() + 20
    while not ready.exists():
        assert time.monotonic() < deadline
        time.sleep(0.02)
    os.killpg(ours.pid, signal.SIGINT)
    _, said = ours.communicate(timeout=20)
    assert cleaned.exists()
    assert "KeyboardInterrupt" in said


def test_becoming_another_program_keeps_its_exit_code() -> None:
    code = "from guestcomms import run; run.replace(['sh', '-c', 'exit $GC'], env={'GC': '5'})"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 5


def test_threads_capture_without_a_fork_of_python() -> None:
    """A fork beside other threads may deadlock; Python 3.12 and newer warn of each."""
    code = """
import sys
from concurrent.futures import ThreadPoolExecutor
from guestcomms import run

def refuse(event, _arguments):
    if event in ("os.fork", "os.forkpty"):
        raise RuntimeError(event)

sys.addaudithook(refuse)
with ThreadPoolExecutor(8) as pool:
    done = pool.map(lambda n: run.capture(["sh", "-c", f"echo {n}"], todo="-").stdout, range(40))
    assert list(done) == [f"{n}\\n" for n in range(40)]
"""
    command = [sys.executable, "-W", "error", "-c", code]
    done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stderr) == (0, "")
