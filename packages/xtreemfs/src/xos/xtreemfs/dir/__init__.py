# SPDX-License-Identifier: BSD-3-Clause
"""The Directory Service: which services and volumes there are."""
