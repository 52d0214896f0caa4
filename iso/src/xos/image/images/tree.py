# SPDX-License-Identifier: BSD-3-Clause
"""The file system of a flavour: a Debian root, and our packages in it by dnf with all signatures checked."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path

import msgspec

from xos.image import roots
from xos.image.errors import NothingBuilt
from xos.image.images.flavours import Declared, Flavour
from xos.image.images.store import Store
from xos.image.progress import Say
from xos.image.roots import Root, RootPlan
from xos.image.rpms.base import newest
from xos.image.sandbox import Bind, Sandbox

INSIDE = Path(__file__).with_name("inside")
INSTALL = INSIDE / "install-flavour"
MEDIUM = "/run/live/medium/repository"
"""Where a live system finds the repository."""
INDEX = Path("x86_64/media/main/repodata/repomd.xml")


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """A flavour's file system, packed: ``root.tar``, ``manifest``; of a live one ``vmlinuz`` and ``initrd.img``."""

    path: Path
    key: str
    epoch: int
    """The time of everything in it that would have the time of the build."""


def root_plan(base: RootPlan, declared: Declared, *, live: bool) -> RootPlan:
    """The Debian root: what every node has, and what the flavour adds."""
    more = (*declared.debian, *(declared.live.debian if live else ()))
    return msgspec.structs.replace(base, packages=tuple(dict.fromkeys((*base.packages, *more))))


def epoch(root: Path, index: str) -> int:
    """``$SOURCE_DATE_EPOCH``, or when the newest package of *root* or of the repository (by its index) was made."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    revision = re.search(r"<revision>(\d+)</revision>", index)
    return max(newest(root), int(revision.group(1)) if revision else 0)


async def make_tree(flavour: Flavour, repo: Path, store: Store, say: Say, *, live: bool) -> Tree:
    """The file system, made if it is not in the cache. Raises `NothingBuilt`, `NoNetwork`, `StepFailed`."""
    if not (repo / INDEX).exists():
        raise NothingBuilt(path=str(repo))
    declared = flavour.declared
    plan = root_plan(roots.plans().base, declared, live=live)
    name = "live" if live else "system" if declared.debian else "base"
    root = await roots.ensure(name, plan, store.cache, say)
    when = epoch(root.path, (repo / INDEX).read_text())
    key = _key(flavour, root, repo, when, live=live)

    async def install(draft: Path, log: Path) -> None:
        sandbox = Sandbox(
            root=root.path,
            scratch=store.cache / "tmp",
            binds=(
                Bind(draft, "/run/out", writable=True),
                Bind(repo, MEDIUM),
                Bind(INSTALL, "/run/install-flavour"),
            ),
        )
        units = (*declared.units, *(declared.live.units if live else ()))
        env = {
            "FLAVOUR": flavour.name,
            "PACKAGES": " ".join(declared.packages),
            "UNITS": " ".join(units),
            "LIVE": "1" if live else "0",
            "SOURCE_DATE_EPOCH": str(when),
        }
        await sandbox.run(["/run/install-flavour"], step=f"installing {flavour.name}", log=log, env=env)

    what = f"{flavour.name}: {', '.join(declared.packages)} from {repo}"
    return Tree(path=await store.ensure("trees", key, what, install, say), key=key, epoch=when)


def _key(flavour: Flavour, root: Root, repo: Path, when: int, *, live: bool) -> str:
    """Names all that the file system is made from."""
    declared = flavour.declared
    parts = (
        root.key,
        flavour.name,
        msgspec.json.encode((declared.packages, declared.units, declared.live.units if live else ())).decode(),
        str(live),
        str(when),
        INSTALL.read_text(),
        (repo / INDEX).read_text(),
        (repo / "xtreemos.repo").read_text(),
        (repo / "RPM-GPG-KEY-xtreemos").read_text(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
