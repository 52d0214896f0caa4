# SPDX-License-Identifier: BSD-3-Clause
"""The job description language: JSDL 1.0 (OGF GFD.136) with POSIXApplication, and its TOML form."""

from xos.aem.jsdl.model import NO_LIMITS, UNITS_MAX, Creation, JobDescription, Limits, StagedFile

__all__ = ["NO_LIMITS", "UNITS_MAX", "Creation", "JobDescription", "Limits", "StagedFile"]
