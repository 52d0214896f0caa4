# SPDX-License-Identifier: BSD-3-Clause
"""``python -m xos.dixi COMMAND …``: what `xos-command` falls back to where no agent runs."""

import sys

from xos.dixi.commands import main

if len(sys.argv) < 2:
    sys.exit("usage: python -m xos.dixi COMMAND [ARGUMENT …]")
sys.exit(main(sys.argv[1:]))
