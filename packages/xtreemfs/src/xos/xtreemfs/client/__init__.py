# SPDX-License-Identifier: BSD-3-Clause
"""XtreemFS for programs: an asyncio library, which the FUSE client stands on too."""
