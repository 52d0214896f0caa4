# SPDX-License-Identifier: BSD-3-Clause
"""Our side of the rows."""
