# SPDX-License-Identifier: BSD-3-Clause
"""A package's sources are what Git knows, and the same sources are the same bytes."""

import io
import tarfile
from pathlib import Path

import pytest

from support.checkouts import commit
from xos.image.errors import BadSpec, NotTracked
from xos.image.rpms.sources import Checkout

FIRST = 1_700_000_000


def test_the_archive_holds_files_links_and_modes_and_nothing_of_this_machine(clone: Path) -> None:
    (clone / "one/a.txt").chmod(0o600)
    sources = Checkout(clone).collect(clone / "specs/one.spec", ["one"])
    with tarfile.open(fileobj=io.BytesIO(sources.archive("one-1"))) as tar:
        found = {info.name: info for info in tar}
    assert sorted(found) == ["one-1/one/a.txt", "one-1/one/deep/run", "one-1/one/link"]
    assert found["one-1/one/a.txt"].mode == 0o644
    assert found["one-1/one/deep/run"].mode == 0o755
    assert found["one-1/one/link"].linkname == "a.txt"
    assert {(info.uid, info.gid, info.uname, info.mtime) for info in found.values()} == {(0, 0, "", FIRST)}


def test_the_release_is_the_date_of_the_last_commit_that_touched_them(clone: Path) -> None:
    (clone / "two/b.txt").write_text("changed\n")
    commit(clone, "second", FIRST + 86400)
    checkout = Checkout(clone)
    assert checkout.collect(clone / "specs/one.spec", ["one"]).release == "1.202311142213"
    assert checkout.collect(clone / "specs/one.spec", ["one", "two"]).release == "1.202311152213"


def test_a_change_of_the_spec_is_a_change(clone: Path) -> None:
    (clone / "specs/one.spec").write_text("Name: one\nVersion: 2\n")
    commit(clone, "second", FIRST + 86400)
    assert Checkout(clone).collect(clone / "specs/one.spec", ["one"]).epoch == FIRST + 86400


def test_what_was_not_committed_shows_in_the_release_and_sorts_after(clone: Path) -> None:
    (clone / "one/new.txt").write_text("new\n")
    (clone / "one/a.txt").unlink()
    sources = Checkout(clone).collect(clone / "specs/one.spec", ["one"])
    assert [entry.name for entry in sources.entries] == ["one/deep/run", "one/link", "one/new.txt"]
    assert sources.release == f"1.202311142213.d{sources.digest[:8]}"


def test_what_git_ignores_is_no_source(clone: Path) -> None:
    before = Checkout(clone).collect(clone / "specs/one.spec", ["one"])
    (clone / "one/a.o").write_text("object\n")
    assert Checkout(clone).collect(clone / "specs/one.spec", ["one"]) == before


def test_the_same_sources_give_the_same_bytes_and_others_do_not(clone: Path) -> None:
    def build() -> tuple[str, bytes]:
        sources = Checkout(clone).collect(clone / "specs/one.spec", ["one"])
        return sources.digest, sources.archive("one-1")

    digest, archive = build()
    assert build() == (digest, archive)
    (clone / "one/deep/run").chmod(0o644)
    assert build()[0] != digest


def test_a_path_without_files_is_told(clone: Path) -> None:
    with pytest.raises(BadSpec, match="xos_sources names three"):
        Checkout(clone).collect(clone / "specs/one.spec", ["one", "three"])


def test_no_checkout_is_told(tmp_path: Path) -> None:
    with pytest.raises(NotTracked):
        Checkout(tmp_path)
