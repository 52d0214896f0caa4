# SPDX-License-Identifier: BSD-3-Clause
"""What the commands of XtreemFS refuse themselves."""

from __future__ import annotations

from xos.xtreemfs.errors import XtreemFsError


class NoMrc(XtreemFsError):
    """Raised when no MRC is registered, or none of that name."""

    code = "xtreemfs.no-mrc"
    template = "there is no MRC{where}"
    hint = "The core hosts one; xtfs_chstatus lists what the Directory Service knows."


class NoOsd(XtreemFsError):
    """Raised when no OSD of that name is registered."""

    code = "xtreemfs.no-osd"
    template = "there is no OSD {node}"
    hint = "xtfs_chstatus lists them."


class BadTarget(XtreemFsError):
    """Raised when what the user named is neither on a mounted volume nor an address of one."""

    code = "xtreemfs.bad-target"
    template = "{target} is not on XtreemFS"
    hint = "Name a file below a mount point, or xtreemfs://VOLUME/PATH."
    exit_status = 2


class BadArgument(XtreemFsError):
    """Raised when an option's value, or options together, make no sense."""

    code = "xtreemfs.bad-argument"
    template = "{option}: {detail}"
    exit_status = 2


class BadDump(XtreemFsError):
    """Raised when a dump cannot be read to its end."""

    code = "xtreemfs.bad-dump"
    template = "{file}, line {line}: {detail}"
    hint = "Nothing was restored. Make the dump again: xtfs_mrcdbtool dump"


class NotEmpty(XtreemFsError):
    """Raised when a dump is to be restored into a database that holds something."""

    code = "xtreemfs.not-empty"
    template = "{database} holds {rows} rows of {table} already"
    hint = "Restore into a new database, then give its name to the MRC (setting database)."
