# SPDX-License-Identifier: BSD-3-Clause
"""VOLife: the web page of Virtual Organisations."""
