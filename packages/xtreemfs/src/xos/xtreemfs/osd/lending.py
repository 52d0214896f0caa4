# SPDX-License-Identifier: BSD-3-Clause
"""What an OSD lends to a mount of its own machine: where a share's files are, so that it reads them itself.

The borrower compares every block with its sum as the OSD does, and looks at the mark beside the sums as often; what
does not fit, or is too old, it asks the OSD for. So nothing is lent that more than this OSD decides about.
"""

from __future__ import annotations

import os

from xos.xtreemfs.api import Loan
from xos.xtreemfs.errors import Elsewhere, NotLent
from xos.xtreemfs.osd.admission import Grant
from xos.xtreemfs.osd.fences import fence
from xos.xtreemfs.osd.filling import lacks
from xos.xtreemfs.osd.replication import is_written
from xos.xtreemfs.osd.share import boot_id
from xos.xtreemfs.osd.store import ShareStore


def check_near(boot: bytes) -> None:
    """Whether who asks runs on this machine. Raises `Elsewhere`."""
    if boot != boot_id():
        raise Elsewhere


def lent(store: ShareStore, grant: Grant) -> Loan:
    """Raises `NotLent`, `BadCapability`, `UnknownFile`, `OSError`."""
    if is_written(grant) or lacks(grant) or grant.capability.origin:
        raise NotLent(file_id=grant.file_id)
    with store.share(grant.file_id) as share:
        share.settled(fence(grant.capability))
        data, sums = store.files(grant.file_id)
        there = os.lstat(data)
        return Loan(str(data), str(sums), there.st_dev, there.st_ino, os.lstat(sums).st_ino)
