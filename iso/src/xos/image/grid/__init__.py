# SPDX-License-Identifier: BSD-3-Clause
"""A grid of real systems: systemd containers made from the RPMs, on a bridge in a network name space of their own."""
