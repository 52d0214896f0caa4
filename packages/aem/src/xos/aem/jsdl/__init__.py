# SPDX-License-Identifier: BSD-3-Clause
"""The job description language: JSDL 1.0 (OGF GFD.136) with POSIXApplication, and its TOML form."""

from xos.aem.jsdl.document import parse
from xos.aem.jsdl.errors import DescriptionError
from xos.aem.jsdl.model import NO_LIMITS, UNITS_MAX, Creation, JobDescription, Limits, StagedFile
from xos.aem.jsdl.toml import from_toml
from xos.aem.jsdl.writer import to_jsdl

__all__ = [
    "NO_LIMITS",
    "UNITS_MAX",
    "Creation",
    "DescriptionError",
    "JobDescription",
    "Limits",
    "StagedFile",
    "from_toml",
    "parse",
    "to_jsdl",
]
