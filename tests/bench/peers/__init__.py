# SPDX-License-Identifier: BSD-3-Clause
"""Those we measure ourselves beside, one module each."""
