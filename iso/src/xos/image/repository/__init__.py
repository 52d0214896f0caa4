# SPDX-License-Identifier: BSD-3-Clause
"""The signed repository: metadata for dnf and for urpmi."""
