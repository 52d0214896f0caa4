# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import errno
import os
import stat
import subprocess
import threading
from pathlib import Path

import pytest

from xos.common.files import StorageFull, write_atomically


def test_the_new_content_replaces_the_old_with_the_mode_asked_for(tmp_path: Path) -> None:
    old = os.umask(0o077)
    try:
        write_atomically(tmp_path / "f", b"one")
        assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o600
        write_atomically(tmp_path / "f", b"two", 0o644)
    finally:
        os.umask(old)
    assert (tmp_path / "f").read_bytes() == b"two"
    assert stat.S_IMODE((tmp_path / "f").stat().st_mode) == 0o644
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_a_reader_never_sees_a_part(tmp_path: Path) -> None:
    contents = [bytes([letter]) * 200_000 for letter in b"ab"]
    write_atomically(tmp_path / "f", contents[0])
    stop = threading.Event()
    seen: set[bytes] = set()

    def read() -> None:
        while not stop.is_set():
            seen.add((tmp_path / "f").read_bytes())

    reader = threading.Thread(target=read)
    reader.start()
    for turn in range(40):
        write_atomically(tmp_path / "f", contents[turn % 2])
    stop.set()
    reader.join()
    assert seen <= set(contents)


def test_a_full_disk_leaves_the_old_content(tmp_path: Path) -> None:
    place = tmp_path / "small"
    place.mkdir()
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", place], capture_output=True, text=True)
    if mounted.returncode:
        pytest.skip(f"cannot mount a small tmpfs here: {mounted.stderr.strip()}")
    try:
        write_atomically(place / "f", b"old")
        with pytest.raises(StorageFull) as caught:
            write_atomically(place / "f", bytes(100_000))
        assert caught.value.data == {"path": str(place / "f")}
        assert (place / "f").read_bytes() == b"old"
        assert list(place.iterdir()) == [place / "f"]
    finally:
        subprocess.run(["umount", place], check=True)


@pytest.mark.parametrize("failing", ["fsync", "write"])
def test_a_failing_disk_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, failing: str) -> None:
    write_atomically(tmp_path / "f", b"old")

    def fail(*_: object) -> int:
        raise OSError(errno.EIO, "the disk is on fire")

    monkeypatch.setattr(os, failing, fail)
    with pytest.raises(OSError, match="on fire"):
        write_atomically(tmp_path / "f", b"new")
    monkeypatch.undo()
    assert (tmp_path / "f").read_bytes() == b"old"
    assert list(tmp_path.iterdir()) == [tmp_path / "f"]


def test_a_missing_directory_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        write_atomically(tmp_path / "none" / "f", b"x")


def test_a_long_name_still_works(tmp_path: Path) -> None:
    write_atomically(tmp_path / ("n" * 250), b"x")
    assert (tmp_path / ("n" * 250)).read_bytes() == b"x"
