# SPDX-License-Identifier: BSD-3-Clause
"""The command tells what is wrong in a line and a hint, with an exit status."""

from pathlib import Path

import pytest

from xos.image import cache, cli


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        (["rpms", "xos-vom", "--jobs", "1"], {"what": "rpms", "package": ["xos-vom"], "jobs": 1}),
        (["repo", "--url", "http://h/x"], {"what": "repo", "url": "http://h/x", "rotate_key": False}),
        (["grid", "up", "--state", "/s"], {"what": "grid", "act": "up", "state": Path("/s")}),
        (["grid", "run", "node1", "ls", "-l"], {"act": "run", "node": "node1", "command": ["ls", "-l"]}),
    ],
)
def test_the_command_line_is_understood(words: list[str], expected: dict[str, object]) -> None:
    assert vars(cli.parser().parse_args(words)).items() >= expected.items()


def test_a_busy_cache_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with cache.opened(tmp_path):
        assert cli.main(["rpms", "--cache", str(tmp_path), "--wait", "0"]) == 1
    told = capsys.readouterr().err
    assert told.startswith(f"xos-image: another build uses {tmp_path}, and still did after 0 s: process ")
    assert "XOS_CACHE" in told


def test_a_repository_without_packages_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["repo", "--cache", str(tmp_path), "--rpms", str(tmp_path / "none"), "--out", str(tmp_path / "out")]
    assert cli.main(words) == 1
    assert "make rpms" in capsys.readouterr().err
    assert not (tmp_path / "out").exists()


def test_a_grid_that_is_not_there_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert cli.main(["grid", "run", "--state", str(tmp_path), "core", "true"]) == 1
    assert "core ended" in capsys.readouterr().err
    assert cli.main(["grid", "down", "--state", str(tmp_path / "none")]) == 0


def test_a_directory_that_cannot_be_made_is_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "file").touch()
    assert cli.main(["rpms", "--cache", str(tmp_path / "file/cache")]) == 1
    assert "Not a directory" in capsys.readouterr().err
