# SPDX-License-Identifier: BSD-3-Clause
"""VOPS: administration, information and decision point for the policies of VOs."""
