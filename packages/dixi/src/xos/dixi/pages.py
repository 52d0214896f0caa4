# SPDX-License-Identifier: BSD-3-Clause
"""Services that answer HTTP below their own name by themselves: files by their path, say."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, ClassVar

from xos.common.identity import Identity

if TYPE_CHECKING:  # who hosts nothing does without it
    from aiohttp import web


class Pages(ABC):
    """A base of a hosted service. ``/Service/method`` stays the call of that name; all else below ``/Service/`` is
    asked for here."""

    paths: ClassVar[Mapping[str, Any]] = {}
    """What `page` answers, as the Path Items of OpenAPI, by path."""

    @abstractmethod
    async def page(self, request: web.BaseRequest, where: str, caller: Identity) -> web.StreamResponse:
        """The answer for what stands behind ``/Service/`` in the URL, percent-encoded as it came.

        *caller* has shown a certificate. Raises `XosError`, which the gateway tells in its own form, as long as the
        answer was not begun.
        """
