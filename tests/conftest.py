# SPDX-License-Identifier: BSD-3-Clause
"""How hypothesis works in all tests.

No deadlines: a busy machine is no fault of the code. Where ``CI`` is set the same examples are tried each time, so
that a change fails by its own doing; elsewhere every run looks for new ones.
"""

from __future__ import annotations

import os

from hypothesis import settings

settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")
