# SPDX-License-Identifier: BSD-3-Clause
"""A package is built again if, and only if, something that its bytes depend on has changed."""

import os
import threading
from pathlib import Path
from typing import Any

import msgspec
import pytest

from xos.image import cache
from xos.image.cache import CacheBusy
from xos.image.errors import DiskShort
from xos.image.rpms.package import Built, Job, build
from xos.image.sandbox import Sandbox

JOB = Job(name="one", spec=b"Name: one", release="1", epoch=7, root="r", sources=b"tar", archive="one.tar", lint=b"")


@pytest.mark.parametrize(
    "change",
    [
        {"spec": b"Name: one\n"},
        {"release": "2"},
        {"epoch": 8},
        {"root": "another"},
        {"sources": b"other"},
        {"lint": None},
        {"needs": (("two", "key"),)},
    ],
)
def test_everything_that_it_is_built_from_makes_its_key(change: dict[str, Any]) -> None:
    assert msgspec.structs.replace(JOB, **change).key != JOB.key


async def test_what_is_in_the_cache_is_not_built(tmp_path: Path) -> None:
    home = tmp_path / "rpms" / f"one-{JOB.key}"
    home.mkdir(parents=True)
    (home / "one.rpm").touch()
    said: list[str] = []
    nowhere = Sandbox(root=tmp_path / "none", scratch=tmp_path / "none")
    built = await build(JOB, nowhere, [], [], tmp_path, said.append)
    assert (built.rpms, built.fresh, said) == ((home / "one.rpm",), False, [])


def test_source_and_debug_packages_are_told_apart(tmp_path: Path) -> None:
    names = ["a-1.noarch.rpm", "a-1.src.rpm", "a-debuginfo-1.x86_64.rpm", "a-debugsource-1.x86_64.rpm"]
    for name in names:
        (tmp_path / name).touch()
    built = Built("a", "k", tmp_path)
    assert [path.name for path in built.installable] == names[:1]
    assert [path.name for path in built.rpms] == [names[0], *names[2:]]
    assert [path.name for path in built.source_rpms] == names[1:2]


def test_what_an_interrupted_build_left_is_removed(tmp_path: Path) -> None:
    (tmp_path / "tmp/half").mkdir(parents=True)
    with cache.opened(tmp_path):
        assert list((tmp_path / "tmp").iterdir()) == []
        (tmp_path / "tmp/mine").mkdir()
    assert not (tmp_path / "tmp").exists()


def test_two_builds_do_not_share_a_cache_at_once(tmp_path: Path) -> None:
    told: list[str] = []
    with cache.opened(tmp_path), pytest.raises(CacheBusy, match="process "), cache.opened(tmp_path, told.append, 0.0):
        pass
    with cache.opened(tmp_path):
        pass


def test_a_build_waits_for_the_one_that_has_the_cache_and_says_whom_for(tmp_path: Path) -> None:
    told: list[str] = []
    entered, leave = threading.Event(), threading.Event()

    def first() -> None:
        with cache.opened(tmp_path):
            entered.set()
            leave.wait(10)

    def say(line: str) -> None:
        told.append(line)
        leave.set()

    holder = threading.Thread(target=first)
    holder.start()
    assert entered.wait(10)
    with cache.opened(tmp_path, say, 10.0):
        holder.join()
    assert len(told) == 1
    assert f"process {os.getpid()}, " in told[0]


def test_a_full_disk_is_told_before_anything_is_begun(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cache, "NEEDED_MB", 1 << 40)
    with pytest.raises(DiskShort), cache.opened(tmp_path):
        pass
