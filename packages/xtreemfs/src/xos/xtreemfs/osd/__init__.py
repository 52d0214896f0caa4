# SPDX-License-Identifier: BSD-3-Clause
"""The Object Storage Device: what it keeps on its disk."""
