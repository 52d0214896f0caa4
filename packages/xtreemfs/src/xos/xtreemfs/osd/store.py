# SPDX-License-Identifier: BSD-3-Clause
"""The shares that an OSD keeps: two files each, spread over 256 directories of a local file system.

    shares/3f/FILEID.data  FILEID.sums      FILEID-NUMBER.data  …: kept for snapshots (`xos.xtreemfs.osd.snapshots`)

What is read or written is checked against its sums (`xos.xtreemfs.osd.share`). All calls block; an OSD makes them in
threads.
"""

from __future__ import annotations

import hashlib
import os
import re
import secrets
import threading
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from xos.common.files import StorageFull, sync_directory, write_atomically
from xos.common.log import get_logger
from xos.xtreemfs.errors import BadFileId, UnknownFile
from xos.xtreemfs.osd.checksums import BLOCK, HEAD, Head, Mark
from xos.xtreemfs.osd.cloning import DRAFT
from xos.xtreemfs.osd.share import Share
from xos.xtreemfs.osd.snapshots import Known, Snapshots, kept_as, split, volume_of

log = get_logger("xos.xtreemfs.osd")
MOST_OPEN = 1024
"""Shares that are kept open when nobody uses them."""
_STORE_ID = re.compile(r"[0-9a-f]{12}")
_FILE_ID = re.compile(r"[a-z0-9-]{1,64}")


class _Entry:
    """An open share, and how many use it."""

    def __init__(self, share: Share) -> None:
        self.share, self.users, self.deleted = share, 0, False


class ShareStore:
    """All shares below one directory. Thread-safe."""

    def __init__(self, root: Path, *, most_open: int = MOST_OPEN) -> None:
        """Raises `OSError`."""
        self._root, self._most_open = root / "shares", most_open
        self._lock = threading.Lock()
        self._open: OrderedDict[str, _Entry] = OrderedDict()
        self._root.mkdir(mode=0o700, parents=True, exist_ok=True)
        self.id = _identify(root)
        """Of this disk, made with the first start on it: files that were placed on another one are not here."""
        self._places = [self._root / f"{number:02x}" for number in range(256)]
        if missing := [place for place in self._places if not place.is_dir()]:
            for place in missing:
                place.mkdir(mode=0o700)
            sync_directory(self._root)
            sync_directory(root)
        self.snapshots = Snapshots(root)
        for path in self._root.glob(f"*/*{DRAFT}"):  # copies that a crash has left unfinished
            path.unlink()

    def close(self) -> None:
        """Sync and close every share. Nothing may be under way. Raises `OSError`."""
        with self._lock:
            for entry in self._open.values():
                entry.share.sync()
                entry.share.close()
            self._open.clear()

    @contextmanager
    def share(self, file_id: str, *, create: bool = False) -> Iterator[Share]:
        """The share of a file, open. Raises `BadFileId`, `UnknownFile` unless *create*, `OSError`."""
        entry = self._take(file_id, create=create)
        try:
            yield entry.share
        finally:
            self._give_back(entry)

    def mark(self, file_id: str) -> Mark:
        """What is kept beside a share's bytes; of one that is not there, nothing. Raises `BadFileId`, `OSError`."""
        with self._lock:
            entry = self._open.get(file_id)
        if entry is not None:
            return entry.share.state.mark
        try:
            with self.files(file_id)[1].open("rb") as sums:
                return Head.unpack(sums.read(HEAD.size)).mark
        except FileNotFoundError:
            return Mark()

    def delete(self, file_ids: Iterable[str]) -> int:
        """Remove shares, on disk when this returns; how many there were. Raises `BadFileId`, `OSError`.

        Who is using one goes on with what nobody else will ever see. What a snapshot shows is kept for it.
        """
        gone = [place for file_id in file_ids if (place := self._delete(file_id)) is not None]
        for place in dict.fromkeys(gone):
            sync_directory(place)
        return len(gone)

    def _delete(self, file_id: str) -> Path | None:
        """From which directory it went."""
        self._keep(file_id)
        data, sums = self.files(file_id)
        with self._lock:
            entry = self._open.pop(file_id, None)
            there = data.exists()
            # The data last: a crash between the two leaves a share without sums, which can still be deleted.
            sums.unlink(missing_ok=True)
            data.unlink(missing_ok=True)
            if entry is not None:
                entry.deleted = True
                if entry.users == 0:
                    entry.share.close()
        return data.parent if there else None

    # --- for snapshots

    def freeze(self, file_id: str, number: int) -> None:
        """Before a share is changed by that number: keep what earlier snapshots show, on disk when this returns.

        Nobody may write to it meanwhile. Raises `OsdFull`, `OSError`.
        """
        with suppress(UnknownFile), self.share(file_id) as share:
            after = share.state.mark.snapshot
            if after >= number:
                return
            if share.size and self.snapshots.wanted(file_id, after, number):
                share.copy_to(*self.files(kept_as(file_id, number)))
            share.keep(lambda mark: mark._replace(snapshot=max(number, mark.snapshot)), durable=True)

    def shown(self, file_id: str, number: int) -> str | None:
        """The share that has what a file was in a snapshot: one that is kept, or its own; None: it had nothing then."""
        upto = min((one for one in self._kept(file_id) if one >= number), default=0)
        name = kept_as(file_id, upto) if upto else file_id
        with suppress(UnknownFile), self.share(name) as share:
            return name if share.state.mark.snapshot < number else None
        return None

    def copy(self, source: str, target: str) -> None:
        """Another share with the same content, unless it is there. Raises `UnknownFile`, `OsdFull`, `OSError`."""
        if not self.has(target):
            with self.share(source) as share:
                share.copy_to(*self.files(target))

    def free(self, volume: str, known: Known) -> Known:
        """Know which snapshots there are, and remove what none of them shows; what is known then. Raises `OSError`."""
        before = self.snapshots.known(volume)
        self.snapshots.tell(volume, known)
        now = self.snapshots.known(volume)
        grown = before.number < now.number and set(before.there) <= set(now.there)
        for name in () if grown else [one for one in self.file_ids() if volume_of(one) == volume]:
            upto = split(name)[1]
            with suppress(UnknownFile), self.share(name) as share:
                if upto and not self.snapshots.wanted(name, share.state.mark.snapshot, upto):
                    self.delete([name])
        return now

    def _keep(self, file_id: str) -> None:
        """Before a share is removed: give it another name, if a snapshot shows it."""
        last = max(self.snapshots.known(volume_of(file_id)).there, default=0)
        if not last or split(file_id)[1]:
            return
        with suppress(UnknownFile), self.share(file_id) as share:
            if share.size and self.snapshots.wanted(file_id, share.state.mark.snapshot, last):
                share.sync()
                # The data last: sums without a share are seen by nobody.
                for own, kept in reversed(
                    list(zip(self.files(file_id), self.files(kept_as(file_id, last)), strict=True))
                ):
                    kept.unlink(missing_ok=True)
                    os.link(own, kept)

    def _kept(self, file_id: str) -> list[int]:
        """Up to which numbers something is kept of a file."""
        place = self.files(file_id)[0].parent
        found = (split(path.name.removesuffix(".data")) for path in place.glob(f"{file_id}-*.data"))
        return [number for name, number in found if name == file_id]

    def has(self, file_id: str) -> bool:
        """Whether there is a share. Raises `BadFileId`."""
        return self.files(file_id)[0].exists()

    def file_ids(self) -> Iterator[str]:
        """Every file that there is a share of, in no order."""
        for path in self._root.glob("*/*.data"):
            yield path.name.removesuffix(".data")

    def scrub(self, file_id: str) -> Iterator[tuple[int, bool]]:
        """Each block's end in the share, and whether it is as it was written. As `share`."""
        index = 0
        while True:
            with self.share(file_id) as share:
                size = share.size
                if index * BLOCK >= size:
                    return
                sound = share.scrub(index)
            index += 1
            yield min(index * BLOCK, size), sound

    def _take(self, file_id: str, *, create: bool) -> _Entry:
        with self._lock:
            entry = self._open.get(file_id)
            if entry is None:
                data, sums = self.files(file_id)
                try:
                    entry = _Entry(Share(file_id, data, sums, create=create))
                except FileNotFoundError as error:
                    raise UnknownFile(file_id=file_id) from error
                self._open[file_id] = entry
            self._open.move_to_end(file_id)
            entry.users += 1
            return entry

    def _give_back(self, entry: _Entry) -> None:
        with self._lock:
            entry.users -= 1
            if entry.deleted and entry.users == 0:
                entry.share.close()
            spare = self._oldest_unused() if len(self._open) > self._most_open else None
            if spare is not None:
                spare.users += 1
        if spare is None:
            return
        # A share that is found DIRTY is summed anew, and damage would go unseen.
        try:
            spare.share.put_away()
        finally:
            with self._lock:
                spare.users -= 1
                if spare.users == 0:
                    if not spare.deleted:
                        del self._open[spare.share.file_id]
                    spare.share.close()

    def _oldest_unused(self) -> _Entry | None:
        return next((entry for entry in self._open.values() if entry.users == 0), None)

    def files(self, file_id: str) -> tuple[Path, Path]:
        """Where a share's bytes are, and its sums. Raises `BadFileId`."""
        if not _FILE_ID.fullmatch(file_id):
            raise BadFileId(file_id=file_id[:80])
        place = self._places[hashlib.blake2b(split(file_id)[0].encode(), digest_size=1).digest()[0]]
        return place / f"{file_id}.data", place / f"{file_id}.sums"


def _identify(root: Path) -> str:
    """What `ShareStore.id` is, kept beside the shares; empty while it cannot be kept. Raises `OSError`."""
    place = root / "store"
    with suppress(FileNotFoundError):
        if _STORE_ID.fullmatch(known := place.read_text("ascii", errors="replace").strip()):
            return known
    made = secrets.token_hex(6)
    try:
        write_atomically(place, made.encode() + b"\n")
    except (StorageFull, OSError) as error:
        log.warning("store.no-id", detail=str(error))
        return ""
    return made
