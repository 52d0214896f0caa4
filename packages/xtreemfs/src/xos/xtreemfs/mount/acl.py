# SPDX-License-Identifier: BSD-3-Clause
"""POSIX ACLs: the kernel's form with numbers (``linux/posix_acl_xattr.h``) and the MRC's text with global identities.

``user::rw-,user:alice@demo:r--,group::r--,mask::r--,other::---`` is the text.
"""

from __future__ import annotations

import errno
from struct import Struct

from xos.xtreemfs.api import Inode
from xos.xtreemfs.fuse.values import refuse
from xos.xtreemfs.mount.identities import Identities
from xos.xtreemfs.mrc import acl as mrc_acl

ACCESS, DEFAULT = b"system.posix_acl_access", b"system.posix_acl_default"
VERSION = 2
MOST_ENTRIES = 4096
_HEAD, _ENTRY = Struct("<I"), Struct("<HHI")
_NO_ID = 0xFFFFFFFF
_USER_OBJ, _USER, _GROUP_OBJ, _GROUP, _MASK, _OTHER = 1, 2, 4, 8, 16, 32
_WORDS = {_USER_OBJ: "user", _USER: "user", _GROUP_OBJ: "group", _GROUP: "group", _MASK: "mask", _OTHER: "other"}
_TAGS = {
    ("user", False): _USER_OBJ,
    ("user", True): _USER,
    ("group", False): _GROUP_OBJ,
    ("group", True): _GROUP,
    ("mask", False): _MASK,
    ("other", False): _OTHER,
}


def to_text(value: bytes, identities: Identities) -> str:
    """What the kernel gave, for the MRC. Raises `OSError` (EINVAL)."""
    if len(value) < _HEAD.size or _HEAD.unpack_from(value)[0] != VERSION or (len(value) - _HEAD.size) % _ENTRY.size:
        raise refuse(errno.EINVAL)
    entries = []
    for tag, permissions, number in _ENTRY.iter_unpack(value[_HEAD.size :]):
        word = _WORDS.get(tag)
        if word is None or permissions > 7:
            raise refuse(errno.EINVAL)
        who = identities.owner(number) if tag == _USER else identities.group(number) if tag == _GROUP else ""
        entries.append(f"{word}:{who}:{_letters(permissions)}")
    return ",".join(entries)


def whole(inode: Inode) -> str:
    """The access ACL of an inode with what its mode says of it; empty: the mode says all."""
    return mrc_acl.text(mrc_acl.join(inode.mode, inode.acl)) if inode.acl else ""


def from_text(text: str, identities: Identities) -> bytes:
    """What the MRC has, for the kernel. Raises `OSError` (EIO) for what is no ACL."""
    found: list[tuple[int, int, int]] = []
    for entry in text.split(",") if text else []:
        parts = entry.split(":")
        tag = _TAGS.get((parts[0], bool(parts[1]))) if len(parts) == 3 else None
        if tag is None or len(found) >= MOST_ENTRIES:
            raise refuse(errno.EIO)
        who = parts[1]
        number = identities.uid(who) if tag == _USER else identities.gid(who) if tag == _GROUP else _NO_ID
        bits = sum(bit for letter, bit in (("r", 4), ("w", 2), ("x", 1)) if letter in parts[2])
        found.append((tag, number, bits))
    found.sort()  # the kernel wants them by tag, then by number
    return _HEAD.pack(VERSION) + b"".join(_ENTRY.pack(tag, bits, number) for tag, number, bits in found)


def _letters(permissions: int) -> str:
    return "".join(letter if permissions & bit else "-" for letter, bit in (("r", 4), ("w", 2), ("x", 1)))
