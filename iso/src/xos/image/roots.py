# SPDX-License-Identifier: BSD-3-Clause
"""Debian root file systems, made once by mmdebstrap and then only read."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import msgspec

from xos.common.config import load
from xos.image.errors import NoNetwork, NotRoot, StepFailed
from xos.image.processes import need, run
from xos.image.progress import Say, step, tail
from xos.image.sandbox import private

PLANS = Path(__file__).with_name("roots.toml")
FETCHING = ("Failed to fetch", "Could not resolve", "Temporary failure", "Unable to connect", "Cannot initiate")
"""What apt says when it is the network's fault."""


class RootPlan(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What a root is made from."""

    suite: str
    packages: tuple[str, ...]
    mirror: str = ""


class RootPlans(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The roots there are."""

    base: RootPlan
    build: RootPlan


class Root(msgspec.Struct, frozen=True):
    """A root that is there."""

    path: Path
    manifest: str
    """Its Debian packages, ``NAME VERSION ARCHITECTURE`` a line."""

    @property
    def key(self) -> str:
        """Names its content: the same packages, the same key."""
        return hashlib.sha256(self.manifest.encode()).hexdigest()


def plans(path: Path = PLANS) -> RootPlans:
    """The roots as declared; ``$XOS_MIRROR`` goes before what the file names. Raises `ConfigError`."""
    read = load(path, RootPlans)
    mirror = os.environ.get("XOS_MIRROR")
    if not mirror:
        return read
    return RootPlans(
        base=msgspec.structs.replace(read.base, mirror=mirror),
        build=msgspec.structs.replace(read.build, mirror=mirror),
    )


def plan_key(plan: RootPlan) -> str:
    """Names what a root is made from; the mirror makes no difference."""
    return hashlib.sha256(" ".join([plan.suite, *sorted(plan.packages)]).encode()).hexdigest()[:16]


def found(name: str, plan: RootPlan, cache: Path) -> Root | None:
    """The root, if it is in the cache; complete roots are never changed, so that anybody may use them meanwhile."""
    home = _home(name, plan, cache)
    try:
        return Root(home / "root", (home / "manifest").read_text())
    except FileNotFoundError:
        return None


async def ensure(name: str, plan: RootPlan, cache: Path, say: Say) -> Root:
    """The root, made if it is not in the cache. Raises `NoNetwork`, `StepFailed`, `NotRoot`, `ToolMissing`."""
    if (root := found(name, plan, cache)) is not None:
        return root
    home = _home(name, plan, cache)
    await _make(name, plan, home, cache, say)
    return Root(home / "root", (home / "manifest").read_text())


def _home(name: str, plan: RootPlan, cache: Path) -> Path:
    return cache / "roots" / f"{name}-{plan_key(plan)}"


async def _make(name: str, plan: RootPlan, home: Path, cache: Path, say: Say) -> None:
    if os.geteuid() != 0:
        raise NotRoot
    need("mmdebstrap")
    draft = cache / "tmp" / home.name
    draft.mkdir()
    log = cache / f"{home.name}.log"
    log.unlink(missing_ok=True)
    command = [
        *private(), "--mount-proc", "mmdebstrap", "--mode=root", "--variant=minbase",
        f"--include={','.join(plan.packages)}", '--aptopt=Acquire::Languages "none"',
        plan.suite, str(draft / "root"), *([plan.mirror] if plan.mirror else []),
    ]  # fmt: skip
    async with step(say, f"{name} root (Debian {plan.suite}, {len(plan.packages)} packages and what they need)", log):
        try:
            # An initrd is made when the system is whole: here it would be made twice.
            await run(command, step=f"making the {name} root", log=log, env={"INITRD": "No"})
        except StepFailed as error:
            last = tail(log, 15)
            if any(word in last for word in FETCHING):
                raise NoNetwork(root=name, tail=last, log=str(log)) from error
            raise
        await _finish(draft, log)
    home.parent.mkdir(exist_ok=True)
    draft.rename(home)


async def _finish(draft: Path, log: Path) -> None:
    """Empty what differs from one machine to the next, and note what is in it."""
    root = draft / "root"
    for file in ("etc/resolv.conf", "etc/hostname", "etc/machine-id"):
        (root / file).unlink(missing_ok=True)  # systemd-resolved makes one a link
        (root / file).write_text("")
    for key in (root / "etc/ssh").glob("ssh_host_*"):
        key.unlink()  # every machine makes its own
    query = ["dpkg-query", f"--admindir={root}/var/lib/dpkg", "-W", "-f", "${Package} ${Version} ${Architecture}\n"]
    (draft / "manifest").write_bytes(await run(query, step="listing the root's packages", log=log))
