# SPDX-License-Identifier: BSD-3-Clause
"""What the tests of the image builder share."""

import shutil
import subprocess
import time
from collections.abc import Callable
from pathlib import Path

import pytest

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


def git(top: Path, *arguments: str, date: int | None = None) -> None:
    env = {"PATH": "/usr/bin:/bin", "HOME": "/nonexistent", "GIT_CONFIG_NOSYSTEM": "1"}
    if date is not None:
        env |= {"GIT_AUTHOR_DATE": f"@{date} +0000", "GIT_COMMITTER_DATE": f"@{date} +0000"}
    who = ["-c", "user.name=t", "-c", "user.email=t@example.org"]
    subprocess.run(["git", "-C", str(top), *who, *arguments], check=True, env=env, capture_output=True)


def commit(top: Path, message: str, date: int) -> None:
    git(top, "add", "--all")
    git(top, "commit", "-q", "--allow-empty", "-m", message, date=date)


def snapshot(checkout: Path, place: Path) -> Path:
    """A clone with everything as it is in *checkout* now, committed or not: that may change while tests run."""
    subprocess.run(["git", "clone", "-q", str(checkout), str(place)], check=True)
    for path in (path for path in place.iterdir() if path.name != ".git"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    listed = ["git", "-C", str(checkout), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    names = subprocess.run(listed, check=True, capture_output=True, text=True).stdout.split("\0")
    for name in filter(None, names):
        if (checkout / name).exists():
            (place / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(checkout / name, place / name)
    commit(place, "as it is now", int(time.time()))
    return place
