# SPDX-License-Identifier: BSD-3-Clause
"""What runs on every resource node: Execution Manager and Resource Manager."""
