# SPDX-License-Identifier: BSD-3-Clause
"""xos-image with a cache that is empty but for the root of its tools, which the peers have too."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import sys
from pathlib import Path

from bench.image_maker import Plan
from bench.model import CannotRun
from bench.resources import Resources
from xos.image import cache as caches
from xos.image import roots
from xos.image.images import make
from xos.image.images.bases.debian import root_plan
from xos.image.images.flavours import Kind, flavour
from xos.image.repository.keys import key_directory

FLAVOUR = "core"


def tools(resources: Resources) -> Path:
    """The root with squashfs-tools, xorriso, GRUB. Raises `CannotRun`."""
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        raise CannotRun("needs root and mmdebstrap")
    with caches.opened(caches.cache_directory(), resources.say):
        return asyncio.run(roots.ensure("images", make.tools_plan(), caches.cache_directory(), resources.say)).path


def packages(resources: Resources, kind: Kind) -> tuple[str, ...]:
    """The Debian packages of the flavour's system, for the peers."""
    return root_plan(roots.plans().base, flavour(FLAVOUR, resources.root / "iso/flavours"), kind).packages


def repository(resources: Resources) -> Path:
    """Our packages. Raises `CannotRun`."""
    resources.say("making the repository")
    done = subprocess.run(["make", "-s", "repo"], cwd=resources.root, capture_output=True, text=True)
    if done.returncode != 0:
        raise CannotRun(f"make repo: {done.stderr.strip().splitlines()[-1:]}")
    return resources.root / "build/repo"


def live(resources: Resources) -> Plan:
    """An ISO."""
    return _plan(resources, "iso")


def disk(resources: Resources) -> Plan:
    """A raw disk."""
    return _plan(resources, "raw")


def _plan(resources: Resources, form: str) -> Plan:
    place = resources.build / f"image-{form}"
    shutil.rmtree(place, ignore_errors=True)
    known = tools(resources).parent
    (place / "cache/roots").mkdir(parents=True)
    (place / "cache/roots" / known.name).symlink_to(known)
    command = [sys.executable, "-m", "xos.image.cli", "build", FLAVOUR, "--format", form]
    command += ["--flavours", str(resources.root / "iso/flavours"), "--keys", str(key_directory())]
    command += ["--cache", str(place / "cache"), "--repo", str(repository(resources)), "--out", str(place)]
    image = place / f"xtreemos-{FLAVOUR}-x86_64.{form}"
    return Plan(command=tuple(command), image=image, log=resources.build / f"image-{form}.log")
