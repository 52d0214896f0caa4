# SPDX-License-Identifier: BSD-3-Clause
"""The kernel's FUSE protocol, spoken on /dev/fuse without libfuse."""
