# SPDX-License-Identifier: BSD-3-Clause
"""Who may do what at an OSD: capabilities, verified once, and the tokens that stand for them in later calls."""

from __future__ import annotations

import dataclasses
import fnmatch
from collections import OrderedDict
from collections.abc import Callable, Sequence

import msgspec

from xos.common.errors import XosError
from xos.common.identity import Identity, Kind
from xos.common.signing import Signed, verify_signed
from xos.common.tls import Trust
from xos.xtreemfs.api import CAPABILITY_PURPOSE, CAPABILITY_SECONDS, Access, Capability, Update, token_of
from xos.xtreemfs.api.leases import MOST_RESERVED
from xos.xtreemfs.api.osd import INODE_BYTES, TOKEN_BYTES, for_inode, inodes_of
from xos.xtreemfs.errors import BadCapability, OtherStore, UnknownToken

MOST_TOKENS = 100_000
"""Kept in mind; the one that was used longest ago goes first, and is presented again."""
MOST_PAYLOAD = 256 << 10
"""Bytes of a capability: 256 OSDs in a row, and some replicas."""
_decode = msgspec.msgpack.Decoder(Capability).decode


@dataclasses.dataclass(slots=True)
class Grant:
    """What a token stands for."""

    token: bytes
    capability: Capability
    signed: Signed
    caller: str
    """``str(Identity)`` of who may use it."""
    peer: bool
    """Whether it is another OSD of the file."""
    holds: bool
    """Whether it is the one that the capability is for."""
    place: int
    """Of this OSD in the row of its replica."""
    replica: int
    """Index of the replica that this OSD is part of."""
    base: int | None = None
    """How long the file was when this was presented first: from there it may grow by `Capability.room`."""
    frozen: bool = False
    """What snapshots show is kept, so that it may be written to; in a snapshot: it has been found whole."""

    @property
    def file_id(self) -> str:
        """Of the file."""
        return self.capability.file_id

    @property
    def row(self) -> tuple[str, ...]:
        """The OSDs that keep copies of the same share, by replica."""
        return tuple(replica.osds[self.place] for replica in self.capability.layout.replicas)

    @property
    def term(self) -> int:
        """Of the primary, as OSDs count: from 1, since 0 is that nobody has been promised anything."""
        return self.capability.layout.term + 1

    @property
    def is_primary(self) -> bool:
        """Whether this OSD orders the writes of its share."""
        return self.replica == self.capability.layout.primary


class Admission:
    """Capabilities that one OSD has verified. They do not outlive it; whoever holds one presents it again."""

    def __init__(
        self, node: str, trust: Trust, mrcs: Sequence[str], now: Callable[[], float], most: int = MOST_TOKENS
    ) -> None:
        """*mrcs*: patterns of machine names whose signature counts. *now*: Unix seconds."""
        self._node, self._trust, self._mrcs, self._now, self._most = node, trust, tuple(mrcs), now, most
        self.store = ""
        """Id of the disk."""
        self._grants: OrderedDict[bytes, Grant] = OrderedDict()
        self._gone: OrderedDict[str, tuple[float, int]] = OrderedDict()
        """Deleted shares: until when capabilities for them may be about, and of which layout at most."""

    def is_mrc(self, caller: Identity) -> bool:
        """Whether a machine may sign, revoke and delete: a core may, and whom the setting names."""
        named = any(fnmatch.fnmatchcase(caller.name, each) for each in self._mrcs)
        return caller.kind is Kind.MACHINE and ("core" in caller.roles or named)

    def present(self, signed: Signed, caller: Identity, token: bytes = b"") -> Grant:
        """Verify a capability that *caller* shows; of one for several files, *token* says which one is meant.

        Raises `BadCapability`, `OtherStore`.
        """
        name = token_of(signed, str(caller))
        known = self._grants.get(name)
        if known is None or known.signed != signed:
            known = self._admit(name, signed, caller)
        return self.grant(name + token[TOKEN_BYTES:], caller)

    def _admit(self, token: bytes, signed: Signed, caller: Identity) -> Grant:
        capability = self._verified(signed)
        holds = capability.holder == str(caller)
        place = self._place(capability)
        stores = capability.layout.replicas[place[0]].stores
        if stores and self.store not in stores[place[1] : place[1] + 1]:
            raise OtherStore(file_id=capability.file_id)
        named = {osd for replica in capability.layout.replicas for osd in replica.osds}
        peer = caller.kind is Kind.MACHINE and caller.name in named
        if not holds and not peer:
            raise BadCapability(file_id=capability.file_id, detail=f"it is not for {caller}")
        return self._keep(Grant(token, capability, signed, str(caller), peer, holds, place[1], place[0]))

    def _keep(self, grant: Grant) -> Grant:
        self._grants[grant.token] = grant
        while len(self._grants) > self._most:
            self._grants.popitem(last=False)
        return grant

    def grant(self, token: bytes, caller: Identity) -> Grant:
        """What *token* allows *caller*. Raises `UnknownToken`, `BadCapability` (expired)."""
        grant = self._grants.get(token)
        if grant is None and len(token) == TOKEN_BYTES + INODE_BYTES:
            grant = self._one(token, caller)
        if grant is None or grant.caller != str(caller):
            raise UnknownToken
        self._check_alive(grant.capability)
        self._grants.move_to_end(grant.token)
        return grant

    def _one(self, token: bytes, caller: Identity) -> Grant | None:
        """Of one file of several, when it is used first; from then on it is a grant like any other."""
        several = self._grants.get(token[:TOKEN_BYTES])
        if several is None or several.caller != str(caller):
            return None
        self._grants.move_to_end(several.token)
        number = int.from_bytes(token[TOKEN_BYTES:], "big")
        try:
            capability = for_inode(several.capability, number)
        except ValueError as error:
            raise BadCapability(file_id=several.file_id, detail=f"it is not for inode {number:x}") from error
        if capability.file_id == several.file_id:
            return several
        who = several.caller, several.peer, several.holds
        return self._keep(Grant(token, capability, several.signed, *who, several.place, several.replica))

    def bury(self, file_id: str, layout: int) -> None:
        """A share is deleted: capabilities are worth nothing any more, unless a later layout places it here again."""
        now = self._now()
        while self._gone and next(iter(self._gone.values()))[0] < now:
            self._gone.popitem(last=False)
        _, known = self._gone.pop(file_id, (0.0, 0))
        self._gone[file_id] = (now + 2 * CAPABILITY_SECONDS, max(layout, known))

    def _verified(self, signed: Signed) -> Capability:
        if len(signed.payload) > MOST_PAYLOAD:
            raise BadCapability(file_id="?", detail=f"it has {len(signed.payload)} bytes")
        try:
            capability = _decode(signed.payload)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
            raise BadCapability(file_id="?", detail=f"it cannot be read: {error}") from error
        try:
            signer = verify_signed(signed, self._trust, purpose=CAPABILITY_PURPOSE, at=self._now(), kind=Kind.MACHINE)
        except XosError as error:
            raise BadCapability(file_id=capability.file_id[:80], detail=error.message) from error
        if not self.is_mrc(signer):
            raise BadCapability(file_id=capability.file_id[:80], detail=f"{signer} signs none here (setting mrcs)")
        self._check_time(capability)
        if capability.count != 1:
            _check_several(capability)
        return capability

    def _check_alive(self, capability: Capability) -> None:
        gone = self._gone.get(capability.file_id)
        if gone is not None and capability.layout.version <= gone[1]:
            raise BadCapability(file_id=capability.file_id, detail="the file is deleted")
        self._check_time(capability)

    def _check_time(self, capability: Capability) -> None:
        left = capability.expires - self._now()
        if left <= 0:
            raise BadCapability(file_id=capability.file_id, detail="it has expired")
        if left > 2 * CAPABILITY_SECONDS:  # nobody could take it back
            raise BadCapability(file_id=capability.file_id, detail="it is good for too long; compare the clocks")

    def _place(self, capability: Capability) -> tuple[int, int]:
        layout = capability.layout
        width = layout.striping.width
        if any(len(replica.osds) != width for replica in layout.replicas):
            raise BadCapability(file_id=capability.file_id, detail=f"a replica has not {width} OSDs")
        if len({osd for replica in layout.replicas for osd in replica.osds}) != width * len(layout.replicas):
            raise BadCapability(file_id=capability.file_id, detail="an OSD is named twice")
        if not 0 <= layout.primary < len(layout.replicas):
            raise BadCapability(file_id=capability.file_id, detail="its primary is no replica")
        for number, replica in enumerate(layout.replicas):
            if self._node in replica.osds:
                return number, replica.osds.index(self._node)
        raise BadCapability(file_id=capability.file_id, detail=f"{self._node} holds nothing of it")


def _check_several(capability: Capability) -> None:
    """Of a capability for several files. Raises `BadCapability`."""
    name, layout = capability.file_id[:80], capability.layout
    if not 1 < capability.count <= MOST_RESERVED:
        raise BadCapability(file_id=name, detail=f"it is for {capability.count} files")
    if layout.update is not Update.NONE or len(layout.replicas) != 1 or capability.origin:
        raise BadCapability(file_id=name, detail="it is for several files that have replicas or are in a snapshot")
    try:
        inodes_of(capability)
    except ValueError as error:
        raise BadCapability(file_id=name, detail="it names no inode from which to count") from error


def check_access(grant: Grant, wanted: Access) -> None:
    """Raises `BadCapability` unless it allows one of *wanted*."""
    if not grant.holds:
        raise BadCapability(file_id=grant.file_id, detail=f"it is not for {grant.caller}")
    if not int(wanted) & int(grant.capability.access):  # enum's own & costs microseconds
        raise BadCapability(file_id=grant.file_id, detail=f"it does not allow to {wanted.name}".lower())
