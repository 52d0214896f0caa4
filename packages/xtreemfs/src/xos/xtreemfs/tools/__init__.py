# SPDX-License-Identifier: BSD-3-Clause
"""The commands of XtreemFS, with the original's names."""
