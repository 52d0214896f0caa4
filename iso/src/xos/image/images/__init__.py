# SPDX-License-Identifier: BSD-3-Clause
"""Images of whole systems: flavours, live ISOs, tar archives, and booting them."""
