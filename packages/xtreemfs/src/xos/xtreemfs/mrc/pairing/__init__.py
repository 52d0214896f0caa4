# SPDX-License-Identifier: BSD-3-Clause
"""An MRC with a backup: what is acknowledged is at both, and one of them serves."""
