# SPDX-License-Identifier: BSD-3-Clause
"""Roots are named by what they are made from, and declared without mistakes."""

from pathlib import Path

import msgspec
import pytest

from xos.common.config import ConfigError
from xos.image import roots
from xos.image.errors import NotRoot
from xos.image.sandbox import Bind, Sandbox

PLAN = roots.RootPlan(suite="trixie", packages=("a", "b"))


def test_a_root_is_made_anew_when_its_packages_change_and_not_for_another_mirror() -> None:
    key = roots.plan_key(PLAN)
    assert roots.plan_key(msgspec.structs.replace(PLAN, packages=("b", "a"), mirror="http://mirror.test")) == key
    assert roots.plan_key(msgspec.structs.replace(PLAN, packages=("a",))) != key
    assert roots.plan_key(msgspec.structs.replace(PLAN, suite="sid")) != key


def test_the_base_has_what_python_packages_of_ours_are_built_with() -> None:
    read = roots.plans()
    libraries = {name for name in read.build.packages if name.startswith("python3-")}
    tools = {"python3-rpm", "python3-pip", "python3-setuptools", "python3-wheel", "python3-packaging"}
    assert libraries - tools <= set(read.base.packages)


def test_a_mirror_may_be_named_by_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XOS_MIRROR", "http://mirror.test/debian")
    assert {roots.plans().base.mirror, roots.plans().build.mirror} == {"http://mirror.test/debian"}


def test_a_mistake_in_the_declaration_is_told_with_its_line(tmp_path: Path) -> None:
    file = tmp_path / "roots.toml"
    file.write_text('[base]\nsuite = "trixie"\npackages = []\n[build]\nsuit = "trixie"\npackages = []\n')
    with pytest.raises(ConfigError, match="suit"):
        roots.plans(file)


async def test_a_root_that_is_there_is_not_made(tmp_path: Path) -> None:
    home = tmp_path / "roots" / f"base-{roots.plan_key(PLAN)}"
    (home / "root").mkdir(parents=True)
    (home / "manifest").write_text("a 1 amd64\n")
    said: list[str] = []
    root = await roots.ensure("base", PLAN, tmp_path, said.append)
    assert (root.path, root.manifest, said) == (home / "root", "a 1 amd64\n", [])


async def test_without_root_the_builder_says_so_before_anything_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    with pytest.raises(NotRoot):
        await roots.ensure("base", PLAN, tmp_path, print)
    with pytest.raises(NotRoot):
        await Sandbox(root=tmp_path, scratch=tmp_path / "scratch").run(["true"], step="it", log=tmp_path / "log")
    assert not (tmp_path / "scratch").exists()


def test_what_is_bound_is_read_only_unless_it_is_asked_for() -> None:
    sandbox = Sandbox(root=Path("/root"), scratch=Path("/scratch"), binds=(Bind(Path("/a"), "/x"),))
    words = sandbox.also(Bind(Path("/b"), "/y", writable=True)).command(Path("/scratch"), ["true"])
    assert words[-10:] == ["/root", "/scratch", "/a", "/x", "ro", "/b", "/y", "rw", "--", "true"]
