# SPDX-License-Identifier: BSD-3-Clause
"""``python -m xos.dixi.codegen``."""

import sys

from xos.dixi.codegen.cli import main

sys.exit(main())
