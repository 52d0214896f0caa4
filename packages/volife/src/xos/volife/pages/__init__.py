# SPDX-License-Identifier: BSD-3-Clause
"""The pages: one module for each part of a VO."""
