# SPDX-License-Identifier: BSD-3-Clause
"""The errors of XtreemFS. Each class is one sentence: when it is raised."""

from __future__ import annotations

from xos.common.errors import XosError


class XtreemFsError(XosError):
    """Root of what XtreemFS raises."""

    code = "xtreemfs.error"


class NotMounted(XtreemFsError):
    """Raised when the kernel refuses to mount."""

    code = "xtreemfs.not-mounted"
    template = "cannot mount on {path}: {detail}"
    hint = "The directory must exist and be yours; /dev/fuse must be there (modprobe fuse)."


class NoMountHelper(XtreemFsError):
    """Raised when a user who is not root mounts, and there is no fusermount3."""

    code = "xtreemfs.no-mount-helper"
    template = "only root can mount without the program fusermount3"
    hint = "Install it: apt-get install fuse3."


class OldKernel(XtreemFsError):
    """Raised when the kernel speaks a FUSE protocol older than ours."""

    code = "xtreemfs.old-kernel"
    template = "this kernel speaks FUSE {major}.{minor}; 7.{wanted} is the least"
    hint = "Use Linux 5.4 or later."
