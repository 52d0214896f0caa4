# SPDX-License-Identifier: BSD-3-Clause
"""Files by their path over HTTP."""
