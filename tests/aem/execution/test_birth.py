# SPDX-License-Identifier: BSD-3-Clause
"""A unit's program is in its cgroup before it does anything, also where the kernel's quick way is forbidden."""

import errno
import os
from pathlib import Path

import pytest

from xos.aem.execution import hierarchy, kernel


def forbidden(_group: int) -> int:
    """As under ``RestrictNamespaces=`` of systemd."""
    raise OSError(errno.ENOSYS, os.strerror(errno.ENOSYS))


@pytest.mark.parametrize("quick", [True, False])
def test_a_child_is_in_the_group_when_it_begins(quick: bool, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    own = hierarchy.own_group()
    if own is None:
        pytest.skip("no control groups of version 2 here")
    group = own / f"xos-birth-{tmp_path.name}"
    group.mkdir()
    if not quick:
        monkeypatch.setattr(kernel, "_clone_into_cgroup", forbidden)
    directory = os.open(group, os.O_RDONLY | os.O_DIRECTORY)
    try:
        reading, writing = os.pipe()
        child = kernel.fork_into_cgroup(directory)
        if child == 0:
            os.write(writing, Path("/proc/self/cgroup").read_bytes())
            os._exit(7)
        os.close(writing)
        with os.fdopen(reading) as file:
            told = file.read()
        _, status = os.waitpid(child, 0)
        assert os.waitstatus_to_exitcode(status) == 7
        assert any(line.endswith(f"/{group.name}") for line in told.splitlines())
    finally:
        os.close(directory)
        group.rmdir()


def test_another_refusal_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_group: int) -> int:
        raise OSError(errno.EAGAIN, os.strerror(errno.EAGAIN))

    monkeypatch.setattr(kernel, "_clone_into_cgroup", refused)
    with pytest.raises(BlockingIOError):
        kernel.fork_into_cgroup(-1)
