# SPDX-License-Identifier: BSD-3-Clause
"""Mounting and unmounting: as root by mount(2), as a user by the set-uid helper fusermount3 of libfuse.

Descriptor of /dev/fuse: see ``Documentation/filesystems/fuse.rst`` in Linux. The helper passes it over the socket that
``_FUSE_COMMFD`` names.
"""

from __future__ import annotations

import array
import ctypes
import errno
import os
import socket
import stat
import subprocess
from pathlib import Path

import msgspec

from xos.xtreemfs.errors import NoMountHelper, NotMounted, StillMounted

MS_RDONLY, MS_NOSUID, MS_NODEV, MS_NOEXEC = 1, 2, 4, 8
MNT_DETACH = 2
HELPER = "fusermount3"
_HELPER_SECONDS = 10.0


class MountOptions(msgspec.Struct, frozen=True, kw_only=True):
    """How to mount."""

    source: str
    """What df(1) shows, such as ``core.example/home``."""
    subtype: str = "xtreemfs"
    default_permissions: bool = True
    """The kernel checks mode bits by itself."""
    allow_other: bool = True
    """Other users than the one who mounts may enter; root's to allow."""
    suid: bool = False
    """Honour set-uid bits; root's to allow."""
    dev: bool = False
    """Honour device nodes; root's to allow."""
    execute: bool = True
    """Let programs be run from it."""
    read_only: bool = False
    max_read: int = 1 << 20
    """Bytes."""


def mount(path: Path, options: MountOptions) -> int:
    """Mount on *path*; the descriptor of its /dev/fuse. Raises `NotMounted`, `NoMountHelper`."""
    return _as_root(path, options) if os.geteuid() == 0 else _as_user(path, options)


def unmount(path: Path, *, lazy: bool = True) -> bool:
    """Take the mount away; whether nobody here was using it. Who has files open in it keeps them until they close.

    Not *lazy*: only when nobody uses it. Blocks until what was written has gone out. Raises `StillMounted`.
    """
    if os.geteuid() == 0:
        return _unmount_as_root(path, lazy=lazy)
    for words in ((), ("-z",)) if lazy else ((),):
        done = subprocess.run([HELPER, "-u", *words, "--", str(path)], capture_output=True, timeout=_HELPER_SECONDS)
        if done.returncode == 0:
            return not words
    raise StillMounted(path=str(path), detail=done.stderr.decode(errors="replace").strip())


def _unmount_as_root(path: Path, *, lazy: bool) -> bool:
    libc = ctypes.CDLL(None, use_errno=True)
    for flags in (0, MNT_DETACH) if lazy else (0,):
        if libc.umount2(os.fsencode(path), flags) == 0:
            return flags == 0
        number = ctypes.get_errno()
        if number != errno.EBUSY:
            break
    raise StillMounted(path=str(path), detail=os.strerror(number))


def _as_root(path: Path, options: MountOptions) -> int:
    try:
        mode = stat.S_IFMT(path.stat().st_mode)
        fd = os.open("/dev/fuse", os.O_RDWR | os.O_CLOEXEC)
    except OSError as error:
        raise NotMounted(path=str(path), detail=error.strerror or str(error)) from error
    words = [f"fd={fd}", f"rootmode={mode:o}", f"user_id={os.getuid()}", f"group_id={os.getgid()}"]
    words += [f"max_read={options.max_read}"]
    words += [name for name in ("default_permissions", "allow_other") if getattr(options, name)]
    flags = (0 if options.suid else MS_NOSUID) | (0 if options.dev else MS_NODEV)
    flags |= (0 if options.execute else MS_NOEXEC) | (MS_RDONLY if options.read_only else 0)
    libc = ctypes.CDLL(None, use_errno=True)
    kind = f"fuse.{options.subtype}".encode()
    if libc.mount(options.source.encode(), os.fsencode(path), kind, flags, ",".join(words).encode()) != 0:
        number = ctypes.get_errno()
        os.close(fd)
        raise NotMounted(path=str(path), detail=os.strerror(number))
    return fd


def _as_user(path: Path, options: MountOptions) -> int:
    source = options.source.replace("\\", "\\\\").replace(",", "\\,")
    words = [f"fsname={source}", f"subtype={options.subtype}", f"max_read={options.max_read}"]
    words += [name for name in ("default_permissions", "allow_other") if getattr(options, name)]
    words += ["ro"] if options.read_only else []
    words += [] if options.execute else ["noexec"]
    ours, theirs = socket.socketpair()
    with ours, theirs:
        ours.settimeout(_HELPER_SECONDS)
        try:
            done = subprocess.run(
                [HELPER, "-o", ",".join(words), "--", str(path)],
                env={**os.environ, "_FUSE_COMMFD": str(theirs.fileno())},
                pass_fds=[theirs.fileno()],
                capture_output=True,
                timeout=_HELPER_SECONDS,
            )
        except FileNotFoundError as error:
            raise NoMountHelper from error
        except subprocess.TimeoutExpired as error:
            raise NotMounted(path=str(path), detail=f"{HELPER} does not end") from error
        if done.returncode != 0:
            raise NotMounted(path=str(path), detail=done.stderr.decode(errors="replace").strip())
        return _received(ours, path)


def _received(link: socket.socket, path: Path) -> int:
    """The descriptor that the helper has sent."""
    try:
        _, extra, _, _ = link.recvmsg(1, socket.CMSG_SPACE(4))
    except TimeoutError as error:
        raise NotMounted(path=str(path), detail=f"{HELPER} sent nothing") from error
    for level, kind, data in extra:
        if level == socket.SOL_SOCKET and kind == socket.SCM_RIGHTS and len(data) >= 4:
            fd = array.array("i", data[:4])[0]
            os.set_inheritable(fd, False)
            return fd
    raise NotMounted(path=str(path), detail=f"{HELPER} sent no descriptor")
