# SPDX-License-Identifier: BSD-3-Clause
"""From a path to its volume: mount points, links, addresses; and sizes and layouts as people write them."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import cast

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.dixi.commands import Session
from xos.xtreemfs.api import Policy, Striping, Update
from xos.xtreemfs.tools import _show, _where, mkfs
from xos.xtreemfs.tools._where import Target
from xos.xtreemfs.tools.errors import BadArgument, BadTarget

LINE = "36 35 0:50 {root} {where} rw,nosuid shared:7 - {kind} {source} rw,user_id=0\n"


class At:
    """Where a user is."""

    def __init__(self, cwd: Path) -> None:
        self.cwd = cwd

    def path(self, name: str) -> Path:
        return self.cwd / name


def session(cwd: Path) -> Session:
    return cast("Session", At(cwd))


@pytest.fixture
def mounts(tmp_path: Path) -> Path:
    text = "22 1 8:1 / / rw - ext4 /dev/vda rw\n"
    for where, source, root in (("home", "home", "/"), ("home/in side", "data", "/"), ("bound", "home", "/alice")):
        (tmp_path / where).mkdir(parents=True)
        shown = str(tmp_path / where).replace(" ", "\\040")
        text += LINE.format(root=root, where=shown, kind="fuse.xtreemfs", source=source)
    (tmp_path / "sshfs").mkdir()
    text += LINE.format(root="/", where=tmp_path / "sshfs", kind="fuse.sshfs", source="host:")
    (tmp_path / "mountinfo").write_text(text)
    return tmp_path / "mountinfo"


@pytest.mark.parametrize(
    ("given_", "found"),
    [
        ("home", Target("home", "/")),
        ("home/", Target("home", "/")),
        ("home/a/b", Target("home", "/a/b")),
        ("home/in side", Target("data", "/")),
        ("home/in side/x", Target("data", "/x")),
        ("home/in side/../x", Target("home", "/x")),
        ("bound/x", Target("home", "/alice/x")),
        ("bound", Target("home", "/alice")),
        ("xtreemfs://home/a b", Target("home", "/a b")),
        ("xtreemfs://home", Target("home", "/")),
    ],
)
def test_a_name_leads_to_a_volume_and_a_path_in_it(tmp_path: Path, mounts: Path, given_: str, found: Target) -> None:
    assert _where.target(session(tmp_path), given_, mounts) == found


@pytest.mark.parametrize("given_", ["elsewhere", "sshfs/x", "/", "xtreemfs://", "xtreemfs:///x"])
def test_what_is_elsewhere_is_refused(tmp_path: Path, mounts: Path, given_: str) -> None:
    with pytest.raises(BadTarget):
        _where.target(session(tmp_path), given_, mounts)


def test_a_link_itself_is_meant_and_the_way_to_it_is_followed(tmp_path: Path, mounts: Path) -> None:
    (tmp_path / "home/d").mkdir()
    (tmp_path / "way").symlink_to(tmp_path / "home/d")
    (tmp_path / "home/d/link").symlink_to("/nowhere")
    assert _where.target(session(tmp_path), "way/link", mounts) == Target("home", "/d/link")


@pytest.mark.parametrize(("text", "count"), [("0", 0), ("4096", 4096), ("128K", 1 << 17), ("1gib", 1 << 30)])
def test_sizes_are_read_as_people_write_them(text: str, count: int) -> None:
    assert _show.size(text) == count


@given(st.text(max_size=20))
def test_what_is_no_size_is_refused_as_argparse_wants_it(text: str) -> None:
    try:
        assert _show.size(text) >= 0
    except argparse.ArgumentTypeError:
        return


@pytest.mark.parametrize(
    ("count", "text"), [(0, "0"), (1023, "1023"), (1536, "1.5K"), (10 << 20, "10M"), (1 << 60, "1024P")]
)
def test_sizes_are_shown_short(count: int, text: str) -> None:
    assert _show.human(count) == text


def policy(*words: str, before: Policy | None = None) -> Policy:
    return _show.policy(mkfs.parser().parse_args(["volume", *words]), before or Policy())


def test_a_number_of_replicas_is_enough_to_have_a_majority_write() -> None:
    assert policy() == Policy()
    three = policy("--replicas", "3")
    assert (three.update, three.replicas) == (Update.QUORUM, 3)
    assert policy("--replicas", "2", "--update", "ronly").update is Update.READ_ONLY
    assert policy("--width", "4", "--size", "1M").striping == Striping(1 << 20, 4)
    assert policy("--replicas", "1", before=three).update is Update.NONE
    assert policy("--width", "2", before=three).replicas == 3
    assert policy("--osd-selection", "usable, random").osd_selection == ("usable", "random")


@pytest.mark.parametrize(
    "words",
    [
        ("--width", "0"),
        ("--size", "5000"),
        ("--replicas", "0"),
        ("--replicas", "99"),
        ("--replicas", "2", "--update", "none"),
    ],
)
def test_layouts_that_make_no_sense_are_refused(words: tuple[str, ...]) -> None:
    with pytest.raises(BadArgument):
        policy(*words)
