# SPDX-License-Identifier: BSD-3-Clause
"""The file system of a flavour: a Debian root, and our packages in it by dnf with all signatures checked."""

from __future__ import annotations

import hashlib
import os
import re
import uuid
from pathlib import Path

import msgspec

from xos.image import roots
from xos.image.errors import NothingBuilt
from xos.image.images.flavours import Flavour, Kind
from xos.image.images.store import Store
from xos.image.progress import Say
from xos.image.roots import Root, RootPlan
from xos.image.rpms.base import newest
from xos.image.sandbox import Bind, Sandbox

INSIDE = Path(__file__).with_name("inside")
INSTALL = INSIDE / "install-flavour"
BOOT = INSIDE / "boot"
"""What makes disks bootable; live systems carry it for the installer."""
MEDIUM = "/run/live/medium/repository"
"""Where a live system finds the repository."""
INDEX = Path("x86_64/media/main/repodata/repomd.xml")


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """A flavour's file system, packed: ``root.tar``, ``manifest``; of a live one ``vmlinuz`` and ``initrd.img``."""

    path: Path
    key: str
    epoch: int
    """The time of everything in it that would have the time of the build."""

    @property
    def root_uuid(self) -> str:
        """Of the file system on a disk: other content, another UUID."""
        return root_uuid(self.key)


def root_uuid(key: str) -> str:
    """The UUID of a tree's file system, by the key of the tree."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"xtreemos:{key}"))


def root_plan(base: RootPlan, flavour: Flavour, kind: Kind) -> RootPlan:
    """The Debian root: what every node has, and what the flavour and the kind of system add."""
    more = (*flavour.declared.debian, *flavour.system(kind).debian)
    return msgspec.structs.replace(base, packages=tuple(dict.fromkeys((*base.packages, *more))))


def epoch(root: Path, index: str) -> int:
    """``$SOURCE_DATE_EPOCH``, or when the newest package of *root* or of the repository (by its index) was made."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    revision = re.search(r"<revision>(\d+)</revision>", index)
    return max(newest(root), int(revision.group(1)) if revision else 0)


async def make_tree(flavour: Flavour, repo: Path, store: Store, say: Say, kind: Kind) -> Tree:
    """The file system, made if it is not in the cache. Raises `NothingBuilt`, `NoNetwork`, `StepFailed`."""
    if not (repo / INDEX).exists():
        raise NothingBuilt(path=str(repo))
    declared = flavour.declared
    system = flavour.system(kind)
    plan = root_plan(roots.plans().base, flavour, kind)
    name = kind if kind != "plain" else "system" if declared.debian else "base"
    root = await roots.ensure(name, plan, store.cache, say)
    when = epoch(root.path, (repo / INDEX).read_text())
    key = _key(flavour, root, repo, when, kind)

    async def install(draft: Path, log: Path) -> None:
        sandbox = Sandbox(
            root=root.path,
            scratch=store.cache / "tmp",
            binds=(
                Bind(draft, "/run/out", writable=True),
                Bind(repo, MEDIUM),
                Bind(INSTALL, "/run/install-flavour"),
                Bind(BOOT, "/run/boot"),
            ),
        )
        env = {
            "FLAVOUR": flavour.name,
            "PACKAGES": " ".join(declared.packages),
            "UNITS": " ".join((*declared.units, *system.units)),
            "KIND": kind,
            "ROOT_UUID": root_uuid(key),
            "KERNEL_OPTIONS": " ".join(system.kernel_options),
            "SOURCE_DATE_EPOCH": str(when),
        }
        await sandbox.run(["/run/install-flavour"], step=f"installing {flavour.name}", log=log, env=env)

    what = f"{flavour.name}: {', '.join(declared.packages)} from {repo}"
    return Tree(path=await store.ensure("trees", key, what, install, say), key=key, epoch=when)


def _key(flavour: Flavour, root: Root, repo: Path, when: int, kind: Kind) -> str:
    """Names all that the file system is made from."""
    declared, system = flavour.declared, flavour.system(kind)
    parts = (
        root.key,
        flavour.name,
        msgspec.json.encode((declared.packages, declared.units, system.units, system.kernel_options)).decode(),
        kind,
        str(when),
        INSTALL.read_text(),
        *(path.read_text() for path in sorted(BOOT.iterdir())),
        (repo / INDEX).read_text(),
        (repo / "xtreemos.repo").read_text(),
        (repo / "RPM-GPG-KEY-xtreemos").read_text(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
