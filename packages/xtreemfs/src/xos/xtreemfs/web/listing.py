# SPDX-License-Identifier: BSD-3-Clause
"""Directories, as programs (JSON) and people (HTML) read them. Pure."""

from __future__ import annotations

import stat
import time
from collections.abc import Sequence
from html import escape
from typing import Any, Protocol

import msgspec

from xos.xtreemfs.api import Entry, Row
from xos.xtreemfs.web.asked import href, readable

_KINDS = {
    stat.S_IFREG: "file",
    stat.S_IFDIR: "directory",
    stat.S_IFLNK: "link",
    stat.S_IFIFO: "fifo",
    stat.S_IFSOCK: "socket",
}
_UNITS = ("B", "KiB", "MiB", "GiB", "TiB", "PiB")


def entry(row: Row) -> Entry:
    """A row of a directory, for HTTP."""
    inode = row.inode
    return Entry(
        name=readable(row.name),
        kind=_KINDS.get(stat.S_IFMT(inode.mode), "device"),
        size=inode.size,
        mode=stat.S_IMODE(inode.mode),
        owner=inode.owner,
        group=inode.group,
        modified=inode.mtime,
        href=href(row.name, directory=inode.is_directory),
    )


class Form(Protocol):
    """How a directory is written, piece by piece, so that a large one is never in memory as a whole."""

    content_type: str

    def head(self) -> bytes:
        """What comes first."""
        ...

    def rows(self, entries: Sequence[Any]) -> bytes:
        """Some more entries: `Entry`, or names of volumes."""
        ...

    def tail(self) -> bytes:
        """What comes last."""
        ...


class Json:
    """``{"path": …, "entries": […]}``, an entry a line."""

    content_type = "application/json"

    def __init__(self, path: str) -> None:
        self._path = path
        self._begun = False

    def head(self) -> bytes:
        """See `Form`."""
        return b'{"path": ' + msgspec.json.encode(self._path) + b', "entries": [\n'

    def rows(self, entries: Sequence[Entry]) -> bytes:
        """See `Form`."""
        lines = b",\n".join(msgspec.json.encode(msgspec.structs.asdict(one)) for one in entries)
        comma, self._begun = (b",\n" if self._begun and lines else b""), self._begun or bool(lines)
        return comma + lines

    def tail(self) -> bytes:
        """See `Form`."""
        return b"\n]}\n"


class Html:
    """A table, for browsers."""

    content_type = "text/html"

    def __init__(self, path: str, *, top: bool) -> None:
        self._path, self._top = path, top

    def head(self) -> bytes:
        """See `Form`."""
        up = "" if self._top else '<tr><td><a href="../">..</a></td><td></td><td></td><td></td></tr>'
        return _HEAD.format(path=escape(self._path), style=STYLE, up=up).encode()

    def rows(self, entries: Sequence[Entry]) -> bytes:
        """See `Form`."""
        return "".join(map(_row, entries)).encode()

    def tail(self) -> bytes:
        """See `Form`."""
        return b"</tbody></table></body></html>\n"


def _row(one: Entry) -> str:
    slash = "/" if one.kind == "directory" else ""
    size = "" if one.kind == "directory" else sized(one.size)
    when = time.strftime("%Y-%m-%d %H:%M", time.gmtime(one.modified // 10**9)) if one.modified else ""
    name = f'<a href="{escape(one.href)}">{escape(one.name)}{slash}</a>'
    return f"<tr><td>{name}</td><td>{size}</td><td>{when}</td><td>{escape(one.owner)}</td></tr>\n"


def sized(size: int) -> str:
    """Bytes for people."""
    amount, unit = float(size), 0
    while amount >= 1024 and unit < len(_UNITS) - 1:
        amount, unit = amount / 1024, unit + 1
    return f"{size} B" if not unit else f"{amount:.1f} {_UNITS[unit]}"


STYLE = (
    ":root{color-scheme:light dark}body{font:16px/1.5 system-ui,sans-serif;margin:1.5rem auto;max-width:60rem;"
    "padding:0 1rem}h1{font-size:1.2rem;overflow-wrap:anywhere}table{border-collapse:collapse;width:100%}"
    "th,td{text-align:left;padding:.25rem .75rem .25rem 0;border-bottom:1px solid #8884}"
    "td:first-child{overflow-wrap:anywhere}td:nth-child(2),th:nth-child(2){text-align:right;white-space:nowrap}"
    "td:nth-child(3){white-space:nowrap}"
    "@media(max-width:40rem){td:nth-child(n+3),th:nth-child(n+3){display:none}}"
)
_HEAD = (
    '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8"><title>{path}</title>'
    '<meta name="viewport" content="width=device-width, initial-scale=1"><style>{style}</style></head>\n'
    "<body><h1>{path}</h1><table><thead><tr><th>Name</th><th>Size</th><th>Changed (UTC)</th><th>Owner</th></tr></thead>"
    "<tbody>{up}\n"
)
