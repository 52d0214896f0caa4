# SPDX-License-Identifier: BSD-3-Clause
"""`make bench`: our figures beside a peer's, measured in turn in the same run on the same machine."""
