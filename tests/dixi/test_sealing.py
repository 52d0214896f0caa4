# SPDX-License-Identifier: BSD-3-Clause
"""Frames with a tag: everybody may read them, nobody can change them."""

from __future__ import annotations

import os

import pytest

from xos.dixi import frames
from xos.dixi.errors import BadFrame
from xos.dixi.sealing import KEY_BYTES, TAG_BYTES, Seal, make_key


def pair() -> tuple[Seal, Seal]:
    key = make_key()
    return Seal(key, accepted=False), Seal(key, accepted=True)


def body(pieces: list[frames.Bulk]) -> bytes:
    joined = b"".join(pieces)
    assert frames.HEADER.unpack_from(joined)[0] == len(joined) - frames.HEADER.size
    return joined[frames.HEADER.size :]


@pytest.mark.parametrize("size", [0, 1, frames.LARGE - 1, frames.LARGE, (1 << 20) + 7])
@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_what_one_end_closes_the_other_opens_in_both_directions(size: int, kind: type) -> None:
    near, far = pair()
    for ours, theirs in ((near, far), (far, near)):
        for number in range(1, 4):
            frame = frames.pack_request(number, "Probe.echo", (kind(os.urandom(size)),), 0)
            assert theirs.open(body(ours.close(tuple(frame)))) == b"".join(frame)[frames.HEADER.size :]


def test_every_changed_bit_is_noticed() -> None:
    sealed = body(Seal(bytes(KEY_BYTES), accepted=False).close((frames.pack(frames.Ping(7)),)))
    assert Seal(bytes(KEY_BYTES), accepted=True).open(sealed) == frames.pack(frames.Ping(7))[frames.HEADER.size :]
    for bit in range(8 * len(sealed)):
        changed = bytearray(sealed)
        changed[bit // 8] ^= 1 << bit % 8
        with pytest.raises(BadFrame):
            Seal(bytes(KEY_BYTES), accepted=True).open(changed)


def test_a_frame_is_not_opened_twice_nor_out_of_order_nor_by_who_sent_it() -> None:
    near, far = pair()
    first, second = (body(near.close((frames.pack(frames.Ping(n)),))) for n in (1, 2))
    with pytest.raises(BadFrame):
        near.open(first)
    with pytest.raises(BadFrame):
        far.open(second)
    near, far = pair()
    first = body(near.close((frames.pack(frames.Ping(1)),)))
    far.open(first)
    with pytest.raises(BadFrame):
        far.open(first)


@pytest.mark.parametrize("size", range(TAG_BYTES + 2))
def test_what_is_too_short_for_a_tag_is_refused(size: int) -> None:
    with pytest.raises(BadFrame):
        pair()[1].open(bytes(size))


@pytest.mark.parametrize("size", [0, 16, 31, 33])
def test_a_key_of_another_size_is_none(size: int) -> None:
    with pytest.raises(ValueError, match=f"{size} bytes"):
        Seal(bytes(size), accepted=True)
