# SPDX-License-Identifier: BSD-3-Clause
"""JSDL documents, built piece by piece for tests."""

from __future__ import annotations

from typing import Protocol

import pytest

JSDL = "http://schemas.ggf.org/jsdl/2005/11/jsdl"
POSIX = "http://schemas.ggf.org/jsdl/2005/11/jsdl-posix"


class Builder(Protocol):
    def __call__(
        self,
        posix: str = ...,
        *,
        who: str = ...,
        resources: str = ...,
        staging: str = ...,
        head: str = ...,
        application: str = ...,
    ) -> bytes: ...


@pytest.fixture(scope="session")
def document() -> Builder:
    """Makes a job whose POSIXApplication holds *posix*; JSDL's elements need no prefix, the POSIX ones have ``p:``.

    ``<p:Executable>`` is on line 5 when *head* and *who* have one line each.
    """

    def build(
        posix: str = "<p:Executable>/bin/true</p:Executable>",
        *,
        who: str = "",
        resources: str = "",
        staging: str = "",
        head: str = "",
        application: str = "",
    ) -> bytes:
        if resources:
            resources = f"<Resources>{resources}</Resources>"
        return f"""{head}<JobDefinition xmlns="{JSDL}" xmlns:p="{POSIX}">
<JobDescription>{who}
<Application>{application}
<p:POSIXApplication>
{posix}
</p:POSIXApplication>
</Application>
{resources}
{staging}
</JobDescription>
</JobDefinition>""".encode()

    return build
