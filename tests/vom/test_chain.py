# SPDX-License-Identifier: BSD-3-Clause
"""Chains: whatever is changed in the database afterwards is found, and where."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa
from hypothesis import given
from hypothesis import strategies as st

from xos.common.identity import Identity, Kind
from xos.vom import chains
from xos.vom.api import Entry, Head, Link, Log
from xos.vom.records import chain, trail
from xos.vom.records.store import ACTS, CHAIN, METADATA

from .conftest import acting

ALICE = Identity(Kind.USER, "alice", vo="demo", group="users", roles=("VOAdmin",))


def made(count: int, log: Log = Log.AUDIT) -> tuple[list[Link], Head]:
    entries, digest = [], bytes(32)
    for number in range(1, count + 1):
        payload = b"entry %d" % number
        digest = chains.link_digest(digest, log, number, float(number), payload)
        entries.append(Link(number, float(number), payload, digest))
    return entries, Head(log, count, digest)


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[sa.Connection]:
    engine = sa.create_engine(f"sqlite:///{tmp_path / 'chain.sqlite'}")
    METADATA.create_all(engine)
    with engine.begin() as opened:
        yield opened
    engine.dispose()


def test_a_chain_as_it_was_written_has_no_fault() -> None:
    entries, head = made(5)
    assert list(chains.check(Log.AUDIT, entries, [head])) == []
    assert list(chains.check(Log.AUDIT, [], [Head(Log.AUDIT, 0, bytes(32))])) == []


@given(st.data())
def test_any_flipped_bit_is_found_at_its_entry(data: st.DataObject) -> None:
    entries, head = made(6)
    at = data.draw(st.integers(0, 5))
    entry = entries[at]
    field = data.draw(st.sampled_from(["payload", "digest", "at"]))
    if field == "at":
        changed = msgspec.structs.replace(entry, at=entry.at + 1e-6)
    else:
        old = getattr(entry, field)
        bit = data.draw(st.integers(0, len(old) * 8 - 1))
        flipped = bytearray(old)
        flipped[bit // 8] ^= 1 << bit % 8
        changed = msgspec.structs.replace(entry, **{field: bytes(flipped)})
    entries[at] = changed
    faults = list(chains.check(Log.AUDIT, entries, [head]))
    assert faults
    assert faults[0].number == entry.number


@pytest.mark.parametrize("gone", [0, 2, 5])
def test_a_removed_entry_is_found(gone: int) -> None:
    entries, head = made(6)
    del entries[gone]
    faults = list(chains.check(Log.AUDIT, entries, [head]))
    assert faults
    assert "gone" in faults[0].detail or "cut off" in faults[0].detail


@pytest.mark.parametrize(("i", "j"), [(0, 1), (2, 3), (1, 4)])
def test_a_swapped_pair_is_found(i: int, j: int) -> None:
    entries, head = made(6)
    one, other = entries[i], entries[j]
    entries[i] = msgspec.structs.replace(other, number=one.number)
    entries[j] = msgspec.structs.replace(one, number=other.number)
    assert {fault.number for fault in chains.check(Log.AUDIT, entries, [head])} >= {i + 1, j + 1}


def test_an_end_that_was_cut_off_is_found_by_a_signed_head_alone() -> None:
    entries, head = made(6)
    assert list(chains.check(Log.AUDIT, entries[:4])) == []
    (fault,) = chains.check(Log.AUDIT, entries[:4], [head])
    assert fault == chains.Fault(4, "the end is cut off: a head was signed over entry 6")


def test_a_chain_written_anew_does_not_lead_to_the_signed_head() -> None:
    entries, head = made(6)
    forged, digest = list(entries[:3]), entries[2].digest
    for number in (4, 5, 6):
        digest = chains.link_digest(digest, Log.AUDIT, number, 0.0, b"forged")
        forged.append(Link(number, 0.0, b"forged", digest))
    assert list(chains.check(Log.AUDIT, forged)) == []
    (fault,) = chains.check(Log.AUDIT, forged, [head])
    assert "written anew" in fault.detail


def test_entries_of_another_chain_do_not_fit() -> None:
    entries, _ = made(2, Log.USAGE)
    assert list(chains.check(Log.AUDIT, entries))


def test_what_is_appended_is_read_back_whole(connection: sa.Connection) -> None:
    first = chain.append(connection, Log.USAGE, [b"a", b"b"], 1.5)
    second = chain.append(connection, Log.USAGE, [b"c"], 2.5)
    chain.append(connection, Log.AUDIT, [b"x"], 3.5)
    assert (first.number, second.number) == (2, 3)
    entries = chain.links(connection, Log.USAGE, 0, 10)
    assert [entry.payload for entry in entries] == [b"a", b"b", b"c"]
    assert list(chains.check(Log.USAGE, entries, [first, second])) == []
    assert chain.digest_at(connection, Log.USAGE, 2) == first.digest
    assert chain.digest_at(connection, Log.USAGE, 9) is None
    assert chain.head(connection, Log.USAGE, 4.0) == Head(Log.USAGE, 3, second.digest, 4.0)


def test_an_act_is_kept_with_who_did_it_and_from_where(connection: sa.Connection) -> None:
    with acting(ALICE, "192.0.2.7"):
        noted = trail.acting(5.0, "user-added", vo="demo", target="bob", group="users", note="x" * 1000)
    noted(connection)
    (entry,) = trail.read(connection, vo="demo", before=0, limit=10)
    assert (entry.number, entry.who, entry.origin, entry.target) == (1, "alice@demo", "192.0.2.7", "bob")
    assert entry.detail == {"group": "users", "note": "x" * trail.LONGEST}
    (link,) = chain.links(connection, Log.AUDIT, 0, 10)
    kept = msgspec.msgpack.decode(link.payload, type=Entry)
    assert msgspec.structs.replace(kept, number=1) == entry


def test_the_trail_is_read_backwards_in_pages_and_by_filters(connection: sa.Connection) -> None:
    for number in range(1, 8):
        note = trail.noting(float(number), f"act-{number % 2}", who="core", vo="demo" if number < 7 else "other")
        note(connection)
    page = trail.read(connection, vo="demo", before=0, limit=2)
    assert [entry.number for entry in page] == [6, 5]
    assert [entry.number for entry in trail.read(connection, vo="demo", before=5, limit=2)] == [4, 3]
    assert [entry.number for entry in trail.read(connection, vo="", before=0, limit=9, act="act-1")] == [7, 5, 3, 1]
    assert trail.read(connection, vo="demo", before=0, limit=9, who="nobody") == []
    assert connection.scalar(sa.select(sa.func.count()).select_from(CHAIN)) == 7
    assert connection.scalar(sa.select(sa.func.count()).select_from(ACTS)) == 7
