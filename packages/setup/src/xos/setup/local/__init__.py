# SPDX-License-Identifier: BSD-3-Clause
"""A whole grid on this machine."""
