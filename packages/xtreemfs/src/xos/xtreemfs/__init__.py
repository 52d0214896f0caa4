# SPDX-License-Identifier: BSD-3-Clause
"""XtreemFS, the distributed file system."""
