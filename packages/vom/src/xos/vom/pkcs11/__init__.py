# SPDX-License-Identifier: BSD-3-Clause
"""The VO CA's key in a PKCS#11 token: it is named by a URI (RFC 7512), and a process of its own talks to the token."""
