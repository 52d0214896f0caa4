# SPDX-License-Identifier: BSD-3-Clause
"""xos-base: what a Debian root provides, as packages that rpm, dnf and urpmi believe."""

from __future__ import annotations

import time
from pathlib import Path

from xos.image.progress import Say
from xos.image.roots import Root
from xos.image.rpms.package import TOOLS, Built, Job, build
from xos.image.sandbox import Bind, Sandbox

NAME = "xos-base"


def newest(root: Path) -> int:
    """When the newest Debian package of a root was made, by its changelog; grows as the root is brought up to date."""
    changelogs = (root / "usr/share/doc").glob("*/changelog*")
    return int(max((path.stat().st_mtime for path in changelogs if not path.is_symlink()), default=0))


async def describe(
    root: Root, tools: Root, sandbox: Sandbox, cache: Path, say: Say, lint: bytes | None = None
) -> Built:
    """xos-base for *root*, built in the root *tools* (to which *sandbox* belongs). Raises `StepFailed`."""
    version = (root.path / "etc/debian_version").read_text().strip()
    epoch = newest(root.path)
    release = time.strftime("1.%Y%m%d", time.gmtime(epoch))
    log = cache / f"{NAME}.log"
    log.unlink(missing_ok=True)
    spec = await sandbox.also(Bind(root.path, "/described")).run(
        [f"{TOOLS}/describe-root", "/described", version, release], step="describing the base root", log=log
    )
    job = Job(name=NAME, spec=spec, release=release, epoch=epoch, root=tools.key, lint=lint)
    return await build(job, sandbox, (), (), cache, say)
