# SPDX-License-Identifier: BSD-3-Clause
"""The calls of `xos.xtreemfs.api.MRC`, by what they are about: each becomes one function of a connection."""
