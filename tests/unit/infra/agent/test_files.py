import grp
import os
import pwd
import stat
from pathlib import Path

import pytest

from infra.agent.errors import AgentError
from infra.agent.facts import Directory
from infra.agent.files import File, install, install_directory, remove

ME = pwd.getpwuid(os.geteuid()).pw_name
MY_GROUP = grp.getgrgid(os.getegid()).gr_name


def _file(path: Path, content: bytes = b"one", mode: int = 0o600) -> File:
    return File(path, content, ME, MY_GROUP, mode)


def test_a_file_is_written_once(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    assert install(_file(path)) is True
    assert path.read_bytes() == b"one"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert install(_file(path)) is False


def test_new_contents_replace_the_file_in_one_step(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    install(_file(path))
    with path.open("rb") as old:
        assert install(_file(path, b"two")) is True
        assert old.read() == b"one"  # who had it open still reads the old file, whole
    assert path.read_bytes() == b"two"
    assert [p.name for p in tmp_path.iterdir()] == ["secret"]


def test_a_wrong_mode_alone_is_corrected(tmp_path: Path) -> None:
    path = tmp_path / "secret"
    install(_file(path))
    path.chmod(0o644)
    assert install(_file(path)) is True
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_an_unknown_owner_leaves_nothing_behind(tmp_path: Path) -> None:
    with pytest.raises(AgentError, match="no such user"):
        install(File(tmp_path / "x", b"", "nobody-has-this-name", MY_GROUP, 0o600))
    assert list(tmp_path.iterdir()) == []


def test_contents_never_show_in_a_repr(tmp_path: Path) -> None:
    assert "hunter2" not in repr(_file(tmp_path / "x", b"hunter2"))


def test_a_directory_keeps_what_lies_in_it(tmp_path: Path) -> None:
    wanted = Directory(tmp_path / "a" / "b", ME, MY_GROUP, 0o750)
    assert install_directory(wanted) is True
    (wanted.path / "data").write_text("kept")
    wanted.path.chmod(0o777)
    assert install_directory(wanted) is True
    assert install_directory(wanted) is False
    assert stat.S_IMODE(wanted.path.stat().st_mode) == 0o750
    assert (wanted.path / "data").read_text() == "kept"


def test_removing_says_whether_it_was_there(tmp_path: Path) -> None:
    install(_file(tmp_path / "x"))
    assert remove(tmp_path / "x") is True
    assert remove(tmp_path / "x") is False
