# SPDX-License-Identifier: BSD-3-Clause
"""VO management: XVOMS, CDA, RCA."""
