# SPDX-License-Identifier: BSD-3-Clause
"""XtreemFS: the interfaces of its services and what travels over them, one module each.

Others import from here only.
"""

from xos.xtreemfs.api.dir import (
    DIR,
    HEARTBEAT_SECONDS,
    SUSPECT_SECONDS,
    ServiceRecord,
    Status,
    VolumeRecord,
)
from xos.xtreemfs.api.files import (
    CAPABILITY_PURPOSE,
    CAPABILITY_SECONDS,
    LEASE_SECONDS,
    MOST_BYTES,
    NOW,
    Access,
    Capability,
    Change,
    Extent,
    Inode,
    Layout,
    Replica,
    Row,
    Update,
)
from xos.xtreemfs.api.mrc import (
    MRC,
    Ask,
    Changed,
    Claim,
    Found,
    Lock,
    Open,
    Opened,
    Policy,
    Session,
    Space,
    Volume,
    What,
)
from xos.xtreemfs.api.osd import OSD, Health, Presented, ShareState, Written
from xos.xtreemfs.striping import Striping

__all__ = [
    "CAPABILITY_PURPOSE",
    "CAPABILITY_SECONDS",
    "DIR",
    "HEARTBEAT_SECONDS",
    "LEASE_SECONDS",
    "MOST_BYTES",
    "MRC",
    "NOW",
    "OSD",
    "SUSPECT_SECONDS",
    "Access",
    "Ask",
    "Capability",
    "Change",
    "Changed",
    "Claim",
    "Extent",
    "Found",
    "Health",
    "Inode",
    "Layout",
    "Lock",
    "Open",
    "Opened",
    "Policy",
    "Presented",
    "Replica",
    "Row",
    "ServiceRecord",
    "Session",
    "ShareState",
    "Space",
    "Status",
    "Striping",
    "Update",
    "Volume",
    "VolumeRecord",
    "What",
    "Written",
]
