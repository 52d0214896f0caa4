# SPDX-License-Identifier: BSD-3-Clause
"""Packages, repositories and images: what turns the sources into a distribution."""
