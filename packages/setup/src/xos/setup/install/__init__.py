# SPDX-License-Identifier: BSD-3-Clause
"""The installer on the live medium: puts the system on a disk."""
