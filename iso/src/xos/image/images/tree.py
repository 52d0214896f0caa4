# SPDX-License-Identifier: BSD-3-Clause
"""The file system of a flavour: a base, and our packages in it by dnf with all signatures checked."""

from __future__ import annotations

import asyncio
import hashlib
import os
import re
import uuid
from pathlib import Path

import msgspec

from xos.image.errors import NothingBuilt
from xos.image.images import mtree
from xos.image.images.bases import BASES, Ground
from xos.image.images.bases.api import INSIDE, BaseCannot
from xos.image.images.flavours import Flavour, Kind
from xos.image.images.manifest import Package, read_packages
from xos.image.images.store import Store
from xos.image.progress import Say
from xos.image.sandbox import Bind, Sandbox

FORM = "2"
"""Changes with what is beside the archive, so that older results are not taken."""
BOOT = INSIDE / "boot"
"""What makes disks bootable; live systems carry it for the installer."""
MEDIUM = "/run/live/medium/repository"
"""Where a live system finds the repository."""
INDEX = Path("x86_64/media/main/repodata/repomd.xml")


class Tree(msgspec.Struct, frozen=True, kw_only=True):
    """A flavour's file system: ``root.tar``, ``files.mtree.gz`` (its list); if live ``vmlinuz``, ``initrd.img``."""

    path: Path
    key: str
    epoch: int
    """The time of everything in it that would have the time of the build."""
    packages: tuple[Package, ...]

    @property
    def root_uuid(self) -> str:
        """Of the file system on a disk: other content, another UUID."""
        return root_uuid(self.key)


def root_uuid(key: str) -> str:
    """The UUID of a tree's file system, by the key of the tree."""
    return str(uuid.uuid5(uuid.NAMESPACE_URL, f"xtreemos:{key}"))


def epoch(newest: int, index: str) -> int:
    """``$SOURCE_DATE_EPOCH``, or when the newest package of the base or of the repository (by its index) was made."""
    if given := os.environ.get("SOURCE_DATE_EPOCH"):
        return int(given)
    revision = re.search(r"<revision>(\d+)</revision>", index)
    return max(newest, int(revision.group(1)) if revision else 0)


async def make_tree(flavour: Flavour, repo: Path, store: Store, say: Say, kind: Kind) -> Tree:
    """The file system, made if it is not in the cache. Raises `NothingBuilt`, `BaseCannot`, what `Base.ground` does."""
    if not (repo / INDEX).exists():
        raise NothingBuilt(path=str(repo))
    declared, system = flavour.declared, flavour.system(kind)
    ground = await _ground(flavour, kind, store.cache, say)
    when = epoch(ground.newest, (repo / INDEX).read_text())
    key = _key(flavour, ground, repo, when, kind)

    async def install(draft: Path, log: Path) -> None:
        sandbox = Sandbox(
            root=ground.root,
            scratch=store.cache / "tmp",
            binds=(
                Bind(draft, "/run/out", writable=True),
                Bind(repo, MEDIUM),
                Bind(ground.script, "/run/install-flavour"),
                Bind(BOOT, "/run/boot"),
                *ground.binds,
            ),
        )
        env = {
            "FLAVOUR": flavour.name,
            "PACKAGES": " ".join((*declared.packages, *system.packages)),
            "UNITS": " ".join((*declared.units, *system.units)),
            "KIND": kind,
            "ROOT_UUID": root_uuid(key),
            "KERNEL_OPTIONS": " ".join(system.kernel_options),
            "SOURCE_DATE_EPOCH": str(when),
            "BASE_TIME": str(ground.newest),
        }
        await sandbox.run(["/run/install-flavour"], step=f"installing {flavour.name}", log=log, env=env)
        (draft / "files.mtree.gz").write_bytes(await asyncio.to_thread(mtree.describe, draft / "root.tar"))

    what = f"{flavour.name} ({kind}): {', '.join(declared.packages)} from {repo}"
    path = await store.ensure("trees", key, what, install, say)
    return Tree(path=path, key=key, epoch=when, packages=read_packages((path / "packages").read_text()))


async def _ground(flavour: Flavour, kind: Kind, cache: Path, say: Say) -> Ground:
    base = BASES[flavour.declared.base]
    if kind not in base.kinds:
        raise BaseCannot(flavour=flavour.name, base=base.name, kind=kind, kinds=", ".join(sorted(base.kinds)))
    return await base.ground(flavour, kind, cache, say)


def served(repo: str) -> str:
    """What of a .repo file shows in systems: nothing if the repository is in a directory of this machine."""
    return repo if re.search(r"^baseurl=https?:", repo, re.MULTILINE) else ""


def _key(flavour: Flavour, ground: Ground, repo: Path, when: int, kind: Kind) -> str:
    """Names all that the file system is made from."""
    declared, system = flavour.declared, flavour.system(kind)
    parts = (
        FORM,
        ground.key,
        flavour.name,
        msgspec.json.encode(
            (declared.packages, system.packages, declared.units, system.units, system.kernel_options)
        ).decode(),
        kind,
        str(when),
        ground.script.read_text(),
        *(path.read_text() for path in sorted(BOOT.iterdir())),
        (repo / INDEX).read_text(),
        served((repo / "xtreemos.repo").read_text()),
        (repo / "RPM-GPG-KEY-xtreemos").read_text(),
    )
    return hashlib.sha256("\0".join(parts).encode()).hexdigest()[:24]
