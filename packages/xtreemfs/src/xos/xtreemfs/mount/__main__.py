# SPDX-License-Identifier: BSD-3-Clause
"""``python -m xos.xtreemfs.mount [FD]``: the process behind a mount; `xos.xtreemfs.mount.starting` starts it."""

import sys

from xos.xtreemfs.mount.starting import child

sys.exit(child(int(sys.argv[1]) if len(sys.argv) > 1 else None))
