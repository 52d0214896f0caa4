# SPDX-License-Identifier: BSD-3-Clause
"""The framework: hosting, messages, XATI clients, commands."""
