# SPDX-License-Identifier: BSD-3-Clause
"""XtreemFS as a mounted file system: the FUSE client and the command that mounts it."""
