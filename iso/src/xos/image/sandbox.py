# SPDX-License-Identifier: BSD-3-Clause
"""Runs programs in a root file system that stays as it is, in name spaces of their own.

What a program writes goes to an overlay that is thrown away; what it is to leave behind it writes to a directory that
was bound. All mounts are made in a private mount name space, and the program is process 1 of its own process name
space: when it ends, or is killed, or the builder is, the kernel removes processes and mounts. There is no network
unless one asks for it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from xos.image.errors import NotRoot
from xos.image.processes import need, run

# $1 root, $2 scratch directory, then SOURCE TARGET ro|rw ..., --, program and arguments.
_ENTER = r"""
set -eu
root=$1 scratch=$2
shift 2
new=$scratch/root
mkdir -p "$scratch/upper" "$scratch/work" "$new"
# An overlay at the root is a mount point, which rpm's scriptlets need (rpm issue 3187).
mount -t overlay overlay -o "lowerdir=$root,upperdir=$scratch/upper,workdir=$scratch/work" "$new"
mount -t proc proc "$new/proc"
mount -t tmpfs -o mode=755 tmpfs "$new/dev"
for node in null zero full random urandom tty; do
    touch "$new/dev/$node"
    mount --bind "/dev/$node" "$new/dev/$node"
done
ln -s /proc/self/fd "$new/dev/fd"
ln -s fd/0 "$new/dev/stdin"
ln -s fd/1 "$new/dev/stdout"
ln -s fd/2 "$new/dev/stderr"
mkdir "$new/dev/shm"
mount -t tmpfs -o mode=1777 tmpfs "$new/dev/shm"
mount -t tmpfs -o mode=755 tmpfs "$new/run"
while [ "$1" != -- ]; do
    if [ -d "$1" ]; then mkdir -p "$new$2"; else
        mkdir -p "$(dirname "$new$2")"
        touch "$new$2"
    fi
    mount --bind "$1" "$new$2"
    [ "$3" = rw ] || mount -o remount,bind,ro "$new$2"
    shift 3
done
shift
exec chroot "$new" "$@"
"""


class Bind(msgspec.Struct, frozen=True):
    """A file or directory of this machine that is seen inside."""

    source: Path
    target: str
    """Absolute; made if it is not there."""
    writable: bool = False


class Sandbox(msgspec.Struct, frozen=True, kw_only=True):
    """A root to run programs in."""

    root: Path
    """Never written to."""
    scratch: Path
    """Directory (not on an overlay) where what is thrown away is kept meanwhile."""
    binds: tuple[Bind, ...] = ()
    network: bool = False
    """Whether programs inside see this machine's network."""
    kept: bool = False
    """Whether what programs write stays, in ``scratch/upper``, for the next run."""

    def also(self, *binds: Bind) -> Sandbox:
        """The same with more bound."""
        return msgspec.structs.replace(self, binds=self.binds + binds)

    async def run(
        self,
        argv: Sequence[str],
        *,
        step: str,
        log: Path,
        stdin: bytes = b"",
        env: Mapping[str, str] | None = None,
    ) -> bytes:
        """Run a program inside and return its standard output. Raises `StepFailed`, `NotRoot`, `ToolMissing`."""
        if os.geteuid() != 0:
            raise NotRoot
        need("unshare")
        self.scratch.mkdir(parents=True, exist_ok=True)
        if self.kept:
            return await run(self.command(self.scratch, argv), step=step, log=log, stdin=stdin, env=env)
        scratch = tempfile.mkdtemp(prefix="run-", dir=self.scratch)
        try:
            return await run(self.command(Path(scratch), argv), step=step, log=log, stdin=stdin, env=env)
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def command(self, scratch: Path, argv: Sequence[str]) -> list[str]:
        """What is run on this machine for *argv* to run inside."""
        bound = self.binds
        if self.network:
            bound += (Bind(Path("/etc/resolv.conf"), "/etc/resolv.conf"),)
        binds = [word for b in bound for word in (str(b.source), b.target, "rw" if b.writable else "ro")]
        return [
            *private(*(() if self.network else ("net",)), "ipc", "uts"),
            "sh",
            "-c",
            _ENTER,
            "sandbox",
            str(self.root),
            str(scratch),
            *binds,
            "--",
            *argv,
        ]


def private(*more: str) -> list[str]:
    """The beginning of a command that runs in mount and process name spaces of its own, which end with it."""
    return [
        "unshare", "--mount", "--pid", "--fork", "--kill-child=KILL", "--propagation", "private",
        *(f"--{name}" for name in more),
    ]  # fmt: skip
