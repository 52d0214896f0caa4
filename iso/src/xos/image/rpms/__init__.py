# SPDX-License-Identifier: BSD-3-Clause
"""RPMs: specs read by rpm itself, built in a clean root, in order, side by side, and only when something changed."""
