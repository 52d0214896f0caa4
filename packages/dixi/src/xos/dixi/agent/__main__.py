# SPDX-License-Identifier: BSD-3-Clause
"""``python -m xos.dixi.agent``: ``xos-agent`` without asking an agent first. The agent starts itself anew by this."""

import os
import sys

from xos.dixi.agent.cli import main

sys.exit(main(sys.argv[1:], os.environ))
