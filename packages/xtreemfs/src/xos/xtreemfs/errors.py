# SPDX-License-Identifier: BSD-3-Clause
"""The errors of XtreemFS. Each class is one sentence: when it is raised."""

from __future__ import annotations

import os

from xos.common.errors import XosError


class XtreemFsError(XosError):
    """Root of what XtreemFS raises."""

    code = "xtreemfs.error"


class NotMounted(XtreemFsError):
    """Raised when the kernel refuses to mount."""

    code = "xtreemfs.not-mounted"
    template = "cannot mount on {path}: {detail}"
    hint = "The directory must exist and be yours; /dev/fuse must be there (modprobe fuse)."


class StillMounted(NotMounted):
    """Raised when the kernel refuses to unmount."""

    code = "xtreemfs.still-mounted"
    template = "cannot unmount {path}: {detail}"
    hint = "See who uses it with: fuser -vm {path}. umount.xtreemfs -l lets it go when they have ended."


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


class BadVolumeName(XtreemFsError):
    """Raised when what is to be mounted names no volume."""

    code = "xtreemfs.bad-volume"
    template = "{source!r} names no volume"
    hint = "Give VOLUME, VO/VOLUME or VOLUME@SNAPSHOT; lsfs.xtreemfs lists volumes, xtfsutil --snapshots snapshots."
    http_status = 400
    exit_status = 2


class UnknownVolume(XtreemFsError):
    """Raised when there is no volume of a name."""

    code = "xtreemfs.unknown-volume"
    template = "there is no volume {volume}"
    hint = "lsfs.xtreemfs lists the volumes; mkfs.xtreemfs makes one."
    http_status = 404


class BadMountOption(XtreemFsError):
    """Raised when mount.xtreemfs is given an option that it does not know, or a value that makes no sense."""

    code = "xtreemfs.bad-option"
    template = "{option!r} is no option of mount.xtreemfs"
    hint = "See mount.xtreemfs(8)."
    exit_status = 2


class NoMachine(XtreemFsError):
    """Raised when somebody who is not root mounts by the certificate of a machine."""

    code = "xtreemfs.no-machine"
    template = "only root can mount by the certificate of the machine {node}"
    hint = "Mount as yourself: get a certificate with get-xos-cert."
    exit_status = 77


class CorruptShare(XtreemFsError):
    """Raised when what an OSD has on disk is not what was written: its checksum says so."""

    code = "xtreemfs.corrupt"
    template = "file {file_id}: bytes {start} to {end} of this OSD's share are damaged on disk"
    hint = "Another replica serves the file; xtfs_scrub repairs this one. Look at the disk (smartctl)."


class UnknownFile(XtreemFsError):
    """Raised when an OSD has no share of a file."""

    code = "xtreemfs.unknown-file"
    template = "this OSD holds nothing of file {file_id}"
    http_status = 404


class BadFileId(XtreemFsError):
    """Raised when what names a file is no file id."""

    code = "xtreemfs.bad-file-id"
    template = "{file_id!r} is no file id: 1 to 64 small letters, digits, dashes"
    http_status = 400


class ShareTooLarge(XtreemFsError):
    """Raised when a read or write lies beyond what a share can hold."""

    code = "xtreemfs.share-too-large"
    template = "bytes {start} to {end} lie beyond the {most} bytes that a share can hold"
    http_status = 400


class OtherStore(XtreemFsError):
    """Raised when an OSD's disk is not the one that a file was placed on: what is lacking there is no hole."""

    code = "xtreemfs.other-store"
    template = "file {file_id}: this OSD has another disk than when the file was placed on it"
    hint = "The file's other replicas are copied by themselves; what has none is on the former disk only."
    http_status = 503


class Elsewhere(XtreemFsError):
    """Raised when somebody of another machine asks an OSD to lend a share."""

    code = "xtreemfs.elsewhere"
    template = "this OSD is on another machine"
    http_status = 409


class NotLent(XtreemFsError):
    """Raised when a share is not for this OSD alone to decide about: it has replicas, or is of a snapshot."""

    code = "xtreemfs.not-lent"
    template = "file {file_id} is read by calls only"
    http_status = 409


class OsdFull(XtreemFsError):
    """Raised when an OSD has no room; what was there before is unchanged but for the bytes being written."""

    code = "xtreemfs.osd-full"
    template = "the OSD has no room left: {detail}"
    hint = "Delete files, or add an OSD."
    http_status = 507


class Refused(XtreemFsError):
    """Raised when a program may not do something: with the errno that Linux has for it."""

    code = "xtreemfs.refused"
    template = "{what}: {message}"
    http_status = 409

    @classmethod
    def of(cls, number: int, what: str) -> Refused:
        """The error for an errno, about *what*."""
        return cls(errno=number, what=what, message=os.strerror(number))


class BadCapability(XtreemFsError):
    """Raised when an OSD does not accept a capability."""

    code = "xtreemfs.bad-capability"
    template = "file {file_id}: the capability is not accepted: {detail}"
    hint = "Open the file again."
    http_status = 403


class UnknownToken(XtreemFsError):
    """Raised when an OSD does not know a capability (any more): it has restarted, or it has expired."""

    code = "xtreemfs.unknown-token"
    template = "this OSD does not know that capability"
    hint = "Present it again."
    http_status = 403


class NotPrimary(XtreemFsError):
    """Raised when a write reaches a replica that does not order the writes of its file now."""

    code = "xtreemfs.not-primary"
    template = "file {file_id}: this replica is not the primary of term {term}"
    hint = "Ask the MRC for the layout again."
    http_status = 409


class StaleTerm(XtreemFsError):
    """Raised when a primary of an older term speaks: another one has taken its place."""

    code = "xtreemfs.stale-term"
    template = "file {file_id}: term {term} is over, {current} is the present one"
    http_status = 409


class Gap(XtreemFsError):
    """Raised when a replica lacks writes before the one that it gets."""

    code = "xtreemfs.gap"
    template = "file {file_id}: this replica has writes up to {version} only"
    http_status = 409


class TooFewReplicas(XtreemFsError):
    """Raised when so few replicas answer that what was written could be lost, or what is read be old."""

    code = "xtreemfs.too-few-replicas"
    template = "file {file_id}: {there} of {wanted} replicas that are needed answer"
    hint = "Try again; see `xtfsutil` for the replicas and `xtfs_chstatus` for the OSDs."
    http_status = 503


class DiskFailed(XtreemFsError):
    """Raised when an OSD's disk fails, or has become read-only."""

    code = "xtreemfs.disk-failed"
    template = "the OSD's disk fails: {detail}"
    hint = "Look at the disk (dmesg, smartctl); another replica serves the file."
    http_status = 503


class PieceTooLarge(XtreemFsError):
    """Raised when one read or write is of more bytes than an OSD takes at once."""

    code = "xtreemfs.piece-too-large"
    template = "{length} bytes at once; an OSD takes {most}"
    http_status = 413


class BadParts(XtreemFsError):
    """Raised when the parts of one write are no parts of its bytes."""

    code = "xtreemfs.bad-parts"
    template = "{parts} parts of {length} bytes: {detail}"
    http_status = 400


class BadPath(XtreemFsError):
    """Raised when what names a file in a URL cannot."""

    code = "xtreemfs.bad-path"
    template = "{path}: {detail}"
    hint = "Give /Files/VOLUME/PATH, percent-encoded; lsfs.xtreemfs lists the volumes."
    http_status = 400


class NoPath(XtreemFsError):
    """Raised when nothing is at a path."""

    code = "xtreemfs.no-path"
    template = "{path}: {detail}"
    hint = "See what is there: GET the directory, with a slash at the end."
    http_status = 404


class PathDenied(XtreemFsError):
    """Raised when a user has no right to what is at a path."""

    code = "xtreemfs.denied"
    template = "{path}: {detail}"
    hint = "Its owner can allow it: chmod, or xtfsutil --acl."
    http_status = 403


class PathInTheWay(XtreemFsError):
    """Raised when what is at a path is not what the request is for: a directory for a file, one that is not empty."""

    code = "xtreemfs.in-the-way"
    template = "{path}: {detail}"
    http_status = 409


class NotAsExpected(XtreemFsError):
    """Raised when a file is not, or no more, as the request says that it must be (If-Match, If-None-Match)."""

    code = "xtreemfs.not-as-expected"
    template = "{path} is not as the request says"
    hint = "Look at it again; somebody may have changed it."
    http_status = 412


class NoRoom(XtreemFsError):
    """Raised when a file cannot be kept: a quota is reached, or the OSDs are full."""

    code = "xtreemfs.no-room"
    template = "{path}: {detail}"
    hint = "Delete files; xtfsutil shows quotas, xtfs_chstatus the OSDs."
    http_status = 507


class NotServed(XtreemFsError):
    """Raised when the servers that have a file do not answer, or its bytes cannot be had."""

    code = "xtreemfs.not-served"
    template = "{path}: {detail}"
    hint = "Try again; xtfs_chstatus shows which services are heard, xtfs_scrub what is damaged."
    http_status = 503
    retry_after_ms = 2000


class NotServing(XtreemFsError):
    """Raised when an MRC is asked that does not serve now: it is the backup of another, or does not know yet."""

    code = "xtreemfs.not-serving"
    template = "the MRC of {node} does not serve now{whoever}"
    hint = "`xtfs_chstatus` shows which MRC does."
    http_status = 503


class OutOfStep(XtreemFsError):
    """Raised when an MRC's backup finds that it is not what its primary was; it takes a copy then."""

    code = "xtreemfs.out-of-step"
    template = "this backup differs from its primary: {detail}"
