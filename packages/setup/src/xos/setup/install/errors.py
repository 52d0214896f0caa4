# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong when a system is put on a disk."""

from __future__ import annotations

from xos.setup.errors import SetupError


class InstallError(SetupError):
    """Root of what the installer raises."""

    code = "install.error"


class NoMedium(InstallError):
    """Raised when this is not a live system of ours; nothing has been touched."""

    code = "install.no-medium"
    template = "this is not the live system of an XtreemOS medium: {detail}"
    hint = "Boot the ISO and run xos-install there"


class AlreadyRuns(InstallError):
    """Raised when another installation runs on this machine; nothing has been touched."""

    code = "install.already-runs"
    template = "another xos-install runs on this machine"
    hint = "Wait for its end, or end it; then run xos-install again"


class WrongDisk(InstallError):
    """Raised when the disk that was named cannot take the system; it has not been touched."""

    code = "install.wrong-disk"
    template = "{disk}: {detail}"
    hint = "Disks of this machine: {known}"
    exit_status = 2


class DiskBusy(WrongDisk):
    """Raised when something of this machine uses the disk; it has not been touched."""

    code = "install.disk-busy"
    hint = "Unmount it, or name another disk: {known}"


class DiskSmall(WrongDisk):
    """Raised when the disk is too small; it has not been touched."""

    code = "install.disk-small"
    template = "{disk} has {size_mb} MB; the system needs {needed_mb} MB"


class UnknownFlavour(InstallError):
    """Raised when the medium does not hold the flavour that was asked for; no disk has been touched."""

    code = "install.unknown-flavour"
    template = "the medium does not hold the flavour {flavour}"
    hint = "It holds: {known}"
    exit_status = 2


class StepFailed(InstallError):
    """Raised when a step of the installation failed: the disk holds a part of a system, which does not boot."""

    code = "install.step-failed"
    template = "{step} failed (status {status})\n{tail}"
    hint = "The disk is not usable as it is. All that was said is in {log}; xos-install may be run again"


class DiskFull(StepFailed):
    """Raised when the disk became full meanwhile."""

    code = "install.disk-full"
    template = "{step}: the disk is full\n{tail}"


class Interrupted(InstallError):
    """Raised when ^C ended an installation that had begun; everything is unmounted."""

    code = "install.interrupted"
    template = "interrupted while {step}: {disk} holds a part of a system, which does not boot"
    hint = "xos-install may be run again"
    exit_status = 130
