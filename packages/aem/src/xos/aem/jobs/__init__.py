# SPDX-License-Identifier: BSD-3-Clause
"""The Job Manager and the Job Directory."""
