# SPDX-License-Identifier: BSD-3-Clause
"""What one node needs to know VO users: account mapping, node policy."""
