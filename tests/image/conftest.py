# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of the image builder share."""

from collections.abc import Callable
from pathlib import Path

import pytest

from support.checkouts import commit, git
from xos.image.rpms.specs import Spec

MakeSpec = Callable[..., Spec]


@pytest.fixture
def spec() -> MakeSpec:
    """Makes a spec of a name, with what it needs and other packages it makes."""

    def make(name: str, *needs: str, packages: tuple[str, ...] = ()) -> Spec:
        return Spec(
            path=f"/specs/{name}.spec",
            name=name,
            version="1",
            packages=packages or (name,),
            provides=(*(packages or (name,)), f"python3dist({name})"),
            build_requires=needs,
            sources=("src",),
            changelog=True,
        )

    return make


@pytest.fixture
def clone(tmp_path: Path) -> Path:
    """A Git checkout with two packages' sources, committed at a known time."""
    top = tmp_path / "clone"
    (top / "specs").mkdir(parents=True)
    (top / "one/deep").mkdir(parents=True)
    (top / "two").mkdir()
    (top / "specs/one.spec").write_text("Name: one\n")
    (top / "one/a.txt").write_text("a\n")
    (top / "one/deep/run").write_text("#!/bin/sh\n")
    (top / "one/deep/run").chmod(0o755)
    (top / "one/link").symlink_to("a.txt")
    (top / "two/b.txt").write_text("b\n")
    (top / ".gitignore").write_text("*.o\n")
    git(top, "init", "-q")
    commit(top, "first", 1_700_000_000)
    return top
