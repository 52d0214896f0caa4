# SPDX-License-Identifier: BSD-3-Clause
"""Close-to-open while other programs of the reading mount have the file open, and ask how long it is, all the time."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.daemons import eventually
from support.filegrid import FileGrid, file_grid

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0 or not Path("/dev/fuse").exists(), reason="mounting needs root and /dev/fuse"),
    pytest.mark.timeout(120),
]
TURNS = 200


@pytest.fixture(scope="module")
def grid() -> Iterator[FileGrid]:
    with file_grid(1, home=None) as made:
        made.mount()
        made.mount()
        yield made


class Crowd:
    """Programs that open a file and ask how long it is, and one elsewhere that sets its time, until told to stop.

    So the reading mount hears of changes all the time, and tells the kernel to ask again while it is asking.
    """

    def __init__(self, here: Path, there: Path, many: int) -> None:
        self._path, self._there, self._over = here, there, threading.Event()
        self._threads = [threading.Thread(target=self._look) for _ in range(many)]
        self._threads.append(threading.Thread(target=self._touch))
        self.failed: list[OSError] = []
        """What reading programs were told."""

    def _touch(self) -> None:
        while not self._over.is_set():
            os.utime(self._there)
            time.sleep(0.002)

    def _look(self) -> None:
        while not self._over.is_set():
            with self._path.open("rb", buffering=0) as file:
                os.fstat(file.fileno())
                try:
                    file.read(1)
                except OSError as error:
                    self.failed.append(error)

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize("how", ["cut", "appended"])
def test_what_was_closed_there_is_read_to_its_end_in_a_crowd(grid: FileGrid, how: str) -> None:
    there, here = (mount.path / how for mount in grid.mounts)
    for _ in eventually(30.0):
        try:
            there.write_bytes(b"begun")
            break
        except OSError:  # no OSD has registered yet
            continue
    content = b""
    with Crowd(here, there, 3) as crowd:
        for turn in range(TURNS):
            more = b"%d;" % turn * (1 + turn % 700)
            content = more if how == "cut" or not turn else content + more
            with there.open("wb" if content is more else "ab") as file:
                file.write(more)
            assert here.read_bytes() == content, turn
    assert crowd.failed == []
