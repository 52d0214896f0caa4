# SPDX-License-Identifier: BSD-3-Clause
"""A real machine becomes a node: what it is told, from where, and the steps."""
