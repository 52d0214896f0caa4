# SPDX-License-Identifier: BSD-3-Clause
"""urpmi media: the directory ``media_info`` beside the RPMs, and ``media.cfg`` for the distribution.

Packages are listed by name and then from the oldest version to the newest, as urpmi wants them.
"""

from __future__ import annotations

import hashlib
import lzma
import re
import shutil
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from xml.sax.saxutils import escape, quoteattr

import msgspec

from xos.common.files import write_atomically
from xos.image.errors import BadMedia
from xos.image.repository import headers, packdrake, synthesis
from xos.image.repository.packages import Package
from xos.image.repository.synthesis import Entry

SYNTHESIS, HDLIST, MD5SUM, PUBKEY = "synthesis.hdlist.cz", "hdlist.cz", "MD5SUM", "pubkey"
MD5_LINE = re.compile(r"^([0-9a-f]+)\s+(?:\./)?(\S+)$")
"""As urpmi reads it."""


class Medium(msgspec.Struct, frozen=True, kw_only=True):
    """A medium of the distribution."""

    directory: str
    """Below ``media``."""
    name: str
    off: bool = False
    """Whether urpmi leaves it out unless it is asked for."""
    debug_for: str = ""


def write_media_info(directory: Path, packages: Sequence[Package], pubkey: str) -> None:
    """Make ``media_info`` in *directory*, which holds the RPMs. Raises `LineTooLong`."""
    info = directory / "media_info"
    content = {
        SYNTHESIS: synthesis.write(packages),
        HDLIST: packdrake.pack({p.full_name: headers.with_media_tags(p.header, p.file, p.file_size) for p in packages}),
        "info.xml.lzma": _xml(packages, _info),
        "files.xml.lzma": _xml(packages, _files),
        "changelog.xml.lzma": _xml(packages, _changelog),
        PUBKEY: pubkey.encode(),
    }
    content[MD5SUM] = _md5sum({name: data for name, data in content.items() if name != PUBKEY})
    shutil.rmtree(info, ignore_errors=True)
    info.mkdir()
    for name, data in content.items():
        write_atomically(info / name, data, 0o644)


def write_distribution(root: Path, version: str, arch: str, media: Sequence[Medium]) -> None:
    """Make ``media_info`` of the distribution in *root*, below which the media are that have theirs already."""
    info = root / "media_info"
    content = {"media.cfg": media_cfg(version, arch, media).encode()}
    for medium in media:
        own = root / medium.directory / "media_info"
        content[f"hdlist_{medium.directory}.cz"] = (own / HDLIST).read_bytes()
        content[f"synthesis.hdlist_{medium.directory}.cz"] = (own / SYNTHESIS).read_bytes()
        content[f"pubkey_{medium.directory}"] = (own / PUBKEY).read_bytes()
    content[MD5SUM] = _md5sum({name: data for name, data in content.items() if name.endswith(".cz")})
    shutil.rmtree(info, ignore_errors=True)
    info.mkdir()
    for name, data in content.items():
        write_atomically(info / name, data, 0o644)


def media_cfg(version: str, arch: str, media: Sequence[Medium]) -> str:
    """``media/media_info/media.cfg``."""
    lines = ["[media_info]", f"version={version}", "branch=XtreemOS", f"arch={arch}", "xml-info=1"]
    for medium in media:
        lines += ["", f"[{medium.directory}]", f"name={medium.name}", f"hdlist=hdlist_{medium.directory}.cz"]
        lines += [f"synthesis=synthesis.hdlist_{medium.directory}.cz", f"pubkey=pubkey_{medium.directory}"]
        lines += ["noauto=1"] * medium.off
        lines += [f"debugfor={medium.debug_for}"] * bool(medium.debug_for)
    return "\n".join(lines) + "\n"


def read_media_info(directory: Path) -> tuple[Entry, ...]:
    """The packages of a medium as urpmi finds them, everything checked that it checks. Raises `BadMedia`."""
    info = directory / "media_info"
    check_md5sum(info)
    entries = synthesis.read((info / SYNTHESIS).read_bytes(), file=str(info / SYNTHESIS))
    found = packdrake.unpack((info / HDLIST).read_bytes(), file=str(info / HDLIST))
    if list(found) != [entry.full_name for entry in entries]:
        raise BadMedia(file=str(info), detail="hdlist and synthesis list different packages")
    for entry in entries:
        name, size = headers.media_tags(found[entry.full_name])
        if size != entry.file_size or (directory / name).stat().st_size != size:
            raise BadMedia(file=str(directory / name), detail="its size is not what the metadata says")
    return entries


def check_md5sum(info: Path) -> None:
    """Raises `BadMedia` if a file is missing or is not the one that MD5SUM names."""
    text = (info / MD5SUM).read_text()
    if len(text) <= 32:
        raise BadMedia(file=str(info / MD5SUM), detail="is empty")
    for line in text.splitlines():
        match = MD5_LINE.match(line)
        if match is None:
            raise BadMedia(file=str(info / MD5SUM), detail=f"cannot read {line!r}")
        path = info / match[2]
        if not path.exists() or _md5(path.read_bytes()) != match[1]:
            raise BadMedia(file=str(path), detail="is not what MD5SUM says")


def _md5sum(content: dict[str, bytes]) -> bytes:
    return "".join(f"{_md5(data)}  {name}\n" for name, data in sorted(content.items())).encode()


def _md5(data: bytes) -> str:
    return hashlib.md5(data, usedforsecurity=False).hexdigest()


def _xml(packages: Sequence[Package], body: Callable[[Package], str]) -> bytes:
    """One of the XML files: xz in spite of its name."""
    rows = "".join(body(package) for package in packages)
    document = f'<?xml version="1.0" encoding="utf-8"?>\n<media_info>\n{rows}</media_info>\n'
    return lzma.compress(document.encode(), format=lzma.FORMAT_XZ, preset=7)


def _info(package: Package) -> str:
    values = {"fn": package.full_name, "sourcerpm": package.source, "url": package.url, "license": package.license}
    attributes = " ".join(f"{name}={quoteattr(value)}" for name, value in values.items() if value)
    return f"<info {attributes}>{escape(package.description)}</info>\n"


def _files(package: Package) -> str:
    names = "".join(f"\n{escape(name)}" for name in package.files)
    return f"<files fn={quoteattr(package.full_name)}>{names}</files>\n"


def _changelog(package: Package) -> str:
    logs = "".join(
        f'<log time="{when}"><log_name>{escape(who)}</log_name><log_text>{escape(what)}</log_text></log>\n'
        for when, who, what in package.changelog
    )
    return f"<changelogs fn={quoteattr(package.full_name)}>\n{logs}</changelogs>\n"


def distribution_version(now: float) -> str:
    """The version that media.cfg names: year and month."""
    return time.strftime("%Y.%m", time.gmtime(now))
