# SPDX-License-Identifier: BSD-3-Clause
"""Builds one package in a clean root, or takes it from the cache."""

from __future__ import annotations

import hashlib
import os
import shutil
from collections.abc import Iterable
from pathlib import Path

import msgspec

from xos.image.progress import Say, step
from xos.image.sandbox import Bind, Sandbox

INSIDE = Path(__file__).with_name("inside")
TOOLS = "/usr/lib/rpm/xos"


class Job(msgspec.Struct, frozen=True, kw_only=True):
    """Everything that the result of a build depends on. No more: what is not here cannot change it."""

    name: str
    spec: bytes
    release: str
    epoch: int
    archive: str = ""
    """Name of the source archive; empty if there is none."""
    sources: bytes = b""
    lint: bytes | None = None
    """Configuration of rpmlint; None leaves it out."""
    root: str
    """`Root.key` of the build root."""
    needs: tuple[tuple[str, str], ...] = ()
    """Packages of ours that it is built with: name and key."""
    pinned: tuple[tuple[str, str], ...] = ()
    """Sources from elsewhere: name and SHA-256."""

    @property
    def key(self) -> str:
        """Names the result."""
        return hashlib.sha256(msgspec.msgpack.encode((self, tools_digest()))).hexdigest()[:24]


class Built(msgspec.Struct, frozen=True):
    """A package that is there."""

    name: str
    key: str
    directory: Path
    fresh: bool = False
    """Whether it was built just now."""

    @property
    def rpms(self) -> tuple[Path, ...]:
        """The binary packages."""
        return tuple(sorted(path for path in self.directory.glob("*.rpm") if not path.name.endswith(".src.rpm")))

    @property
    def installable(self) -> tuple[Path, ...]:
        """The binary packages without those that serve to debug."""
        return tuple(p for p in self.rpms if "-debuginfo-" not in p.name and "-debugsource-" not in p.name)

    @property
    def source_rpms(self) -> tuple[Path, ...]:
        """The source package."""
        return tuple(sorted(self.directory.glob("*.src.rpm")))


def tools_digest() -> str:
    """Names what is used inside the build root besides the root itself."""
    total = hashlib.sha256()
    for path in sorted(INSIDE.iterdir()):
        if path.is_file():
            total.update(f"{path.name}\0{path.stat().st_mode & 0o100}\0".encode() + path.read_bytes())
    return total.hexdigest()


def with_tools(root: Path, scratch: Path) -> Sandbox:
    """The build root with our macros and dependency generators."""
    return Sandbox(
        root=root,
        scratch=scratch,
        binds=(
            Bind(INSIDE, TOOLS),
            Bind(INSIDE / "macros.xos", "/etc/rpm/macros.xos"),
            Bind(INSIDE / "xospy.attr", "/usr/lib/rpm/fileattrs/xospy.attr"),
        ),
    )


async def build(
    job: Job,
    sandbox: Sandbox,
    deps: Iterable[Path],
    bases: Iterable[Path],
    cache: Path,
    say: Say,
    pinned: Iterable[Path] = (),
) -> Built:
    """The packages of *job*, from the cache if its key is there; *deps* are installed before. Raises `StepFailed`."""
    home = cache / "rpms" / f"{job.name}-{job.key}"
    if home.is_dir():
        os.utime(home)
        return Built(job.name, job.key, home)
    work = cache / "tmp" / home.name
    for name in ("in", "out", "deps", "bases"):
        (work / name).mkdir(parents=True)
    (work / "in" / f"{job.name}.spec").write_bytes(job.spec)
    if job.archive:
        (work / "in" / job.archive).write_bytes(job.sources)
    if job.lint is not None:
        (work / "in/rpmlint.toml").write_bytes(job.lint)
    for path in pinned:
        shutil.copy(path, work / "in")
    for path in deps:
        shutil.copy(path, work / "deps")
    for path in bases:
        shutil.copy(path, work / "bases")
    log = cache / "logs" / f"{job.name}.log"
    log.parent.mkdir(exist_ok=True)
    log.unlink(missing_ok=True)
    bound = sandbox.also(
        *(Bind(work / name, f"/{name}") for name in ("in", "deps", "bases")), Bind(work / "out", "/out", writable=True)
    )
    command = [f"{TOOLS}/build-package", f"{job.name}.spec", job.release, str(job.epoch)]
    async with step(say, job.name, log):
        await bound.run(command, step=f"building {job.name}", log=log)
    home.parent.mkdir(exist_ok=True)
    (work / "out").rename(home)
    shutil.rmtree(work)
    return Built(job.name, job.key, home, fresh=True)
