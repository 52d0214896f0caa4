# SPDX-License-Identifier: BSD-3-Clause
"""Turning a machine into a node."""
