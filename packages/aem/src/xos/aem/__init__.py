# SPDX-License-Identifier: BSD-3-Clause
"""Application Execution Management: jobs from submission to output."""
