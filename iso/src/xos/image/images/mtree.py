# SPDX-License-Identifier: BSD-3-Clause
"""The files of a system as an mtree(5) specification, which bsdtar and mtree can read: made from its archive."""

from __future__ import annotations

import gzip
import hashlib
import re
import tarfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

import msgspec

CHUNK = 1 << 20


class BadLine(ValueError):
    """Raised when a line of a specification is none of ours."""


class Entry(msgspec.Struct, frozen=True):
    """A file, directory or other node."""

    path: str
    """Absolute."""
    facts: str
    """The rest of its line: type, mode, owner, size, SHA-256 or where it points."""


def describe(archive: Path) -> bytes:
    """The specification of a tar archive, compressed; the same archive, the same bytes."""
    with tarfile.open(archive, "r:") as tar:
        lines = sorted(_line(member, tar) for member in tar)
    return gzip.compress("".join(("#mtree\n", *lines)).encode(), mtime=0)


def read(specification: bytes) -> Iterator[Entry]:
    """The entries of what `describe` made. Raises `BadLine`, `OSError` (not gzip), `EOFError` (cut off)."""
    first, *lines = gzip.decompress(specification).decode("ascii", "replace").splitlines() or [""]
    if first != "#mtree":
        raise BadLine(first[:80])
    for line in lines:
        path, blank, facts = line.partition(" ")
        if not blank or not path.startswith("./"):
            raise BadLine(line[:80])
        yield Entry(_unescape(path[1:]), facts)


def _line(member: tarfile.TarInfo, tar: tarfile.TarFile) -> str:
    name = "./" + member.name.removeprefix("./").lstrip("/")
    kind = {tarfile.DIRTYPE: "dir", tarfile.SYMTYPE: "link", tarfile.FIFOTYPE: "fifo"}.get(member.type, "file")
    kind = {tarfile.CHRTYPE: "char", tarfile.BLKTYPE: "block"}.get(member.type, kind)
    words = [_escape(name), f"type={kind}", f"mode={member.mode:04o}", f"uid={member.uid}", f"gid={member.gid}"]
    if kind == "link":
        words.append(f"link={_escape(member.linkname)}")
    elif kind == "file":
        content = tar.extractfile(member)  # of a hard link: the file's
        size, digest = _digest(content) if content is not None else (0, "")
        words += [f"size={size}", f"sha256digest={digest}"]
    return " ".join(words) + "\n"


def _digest(content: IO[bytes]) -> tuple[int, str]:
    found, size = hashlib.sha256(), 0
    while chunk := content.read(CHUNK):
        found.update(chunk)
        size += len(chunk)
    return size, found.hexdigest()


def _escape(name: str) -> str:
    """Octal for all that is not plain ASCII, as vis(3) does."""
    raw = name.encode("utf-8", "surrogateescape")
    return "".join(chr(byte) if 0x21 <= byte < 0x7F and byte not in b"\\#" else f"\\{byte:03o}" for byte in raw)


def _unescape(name: str) -> str:
    raw = re.sub(rb"\\([0-7]{3})", lambda found: bytes([int(found.group(1), 8) & 255]), name.encode())
    return raw.decode("utf-8", "replace")
