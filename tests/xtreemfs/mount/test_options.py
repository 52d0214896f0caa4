# SPDX-License-Identifier: BSD-3-Clause
"""What mount.xtreemfs understands."""

from __future__ import annotations

import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.xtreemfs.errors import BadMountOption, BadVolumeName
from xos.xtreemfs.mount.options import parse


def test_a_line_of_fstab_is_understood() -> None:
    wanted = parse("demo/home", "rw,_netdev,nofail,x-systemd.automount,noatime")
    assert (wanted.volume, wanted.source) == ("home", "demo/home")
    kernel = wanted.for_kernel(others=True)
    assert (kernel.suid, kernel.dev, kernel.execute, kernel.read_only, kernel.allow_other) == (
        False, False, True, False, True,
    )  # fmt: skip


def test_the_last_word_counts() -> None:
    wanted = parse("home", "suid,nosuid,ro,rw,noexec,exec,dev,patience=5,config=/etc/xos/core.toml")
    assert (wanted.suid, wanted.read_only, wanted.execute, wanted.dev) == (False, False, True, True)
    assert (wanted.patience, wanted.config) == (5.0, "/etc/xos/core.toml")


@pytest.mark.parametrize("options", ["sync=no", "patience=", "patience=0", "patience=nan", "config=", "bogus", "ro=1"])
def test_what_is_not_known_is_named(options: str) -> None:
    with pytest.raises(BadMountOption, match=options.replace(".", r"\.")):
        parse("home", options)


def test_what_is_not_known_is_passed_over_when_told_so() -> None:
    assert parse("home", "bogus,ro", sloppy=True).read_only


@pytest.mark.parametrize("source", ["", "/", "x" * 65])
def test_a_source_names_a_volume(source: str) -> None:
    with pytest.raises(BadVolumeName):
        parse(source, "")


@given(st.text(max_size=60), st.text(max_size=60))
def test_no_words_do_harm(source: str, options: str) -> None:
    with contextlib.suppress(BadMountOption, BadVolumeName):
        parse(source, options)
