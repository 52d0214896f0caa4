# SPDX-License-Identifier: BSD-3-Clause
"""Users of a local grid: secrets are private, sockets are short, jobs can get where they work."""

import os
import socket
import stat
import subprocess
import tempfile
from pathlib import Path

import pytest

from xos.setup.errors import NotOurs
from xos.setup.local import users


def test_a_password_is_made_once_and_private(tmp_path: Path) -> None:
    first = users.password(tmp_path)
    assert users.password(tmp_path) == first
    assert len(first) >= 20
    assert stat.S_IMODE((tmp_path / "password").stat().st_mode) == 0o600


def test_an_agent_socket_fits_however_deep_the_home_is(tmp_path: Path) -> None:
    assert users.agent_socket(Path("/a/b")) == Path("/a/b/agent.sock")
    deep = tmp_path / ("x" * 120)
    assert len(os.fsencode(users.agent_socket(deep))) <= users.LONGEST_SOCKET
    assert users.agent_socket(deep) != users.agent_socket(tmp_path / ("y" * 120))


def test_a_socket_directory_that_others_can_enter_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_RUNTIME_DIR", str(tmp_path))
    home = tmp_path / ("x" * 120)
    users.make_socket_directory(home)
    users.make_socket_directory(home)
    users.agent_socket(home).parent.chmod(0o755)
    with pytest.raises(NotOurs):
        users.make_socket_directory(home)
    users.forget_socket_directory(home)
    assert list(tmp_path.iterdir()) == []


def test_the_agent_of_a_home_is_whoever_answers_at_its_socket(tmp_path: Path) -> None:
    assert users.agent_of(tmp_path) is None
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(users.agent_socket(tmp_path)))
        assert users.agent_of(tmp_path) is None
        listener.listen()
        agent = users.agent_of(tmp_path)
    assert agent is not None
    assert agent.pid == os.getpid()


def test_the_env_script_makes_a_shell_the_user_and_may_be_read_twice(tmp_path: Path) -> None:
    home = tmp_path / "it's a home"
    (tmp_path / "env").write_text(users.env_script(home, Path("/opt/x y/bin")))
    shown = subprocess.run(
        ["sh", "-euc", '. ./env; . ./env; printf "%s\\n" "$XOS_HOME" "$PATH"'],
        cwd=tmp_path,
        env={"PATH": "/usr/bin:/bin"},
        capture_output=True,
        text=True,
        check=True,
    ).stdout.splitlines()
    assert shown == [str(home), "/opt/x y/bin:/usr/bin:/bin"]


def test_jobs_work_in_the_root_only_if_everybody_may_pass_through_to_it() -> None:
    with tempfile.TemporaryDirectory(dir="/tmp") as name:
        root = Path(name) / "grid"
        root.mkdir(mode=0o711)
        assert not users.work_directory(root).is_relative_to(name)
        assert users.work_directory(root) != users.work_directory(Path(name))
        Path(name).chmod(0o711)
        assert users.work_directory(root) == root / "work"
