# SPDX-License-Identifier: BSD-3-Clause
"""Striping: every byte of a file is in one place, and all that follows from that."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.xtreemfs.striping import LEAST_SIZE, Piece, Stretch, Striping

stripings = st.builds(Striping, size=st.integers(1, 4).map(lambda n: n * LEAST_SIZE), width=st.integers(1, 5))


def test_a_file_over_two_osds_alternates_between_them() -> None:
    pieces = list(Striping(size=4096, width=2).pieces(4000, 8500))
    assert pieces == [
        Piece(0, 0, 4000, 4000, 96),
        Piece(1, 1, 0, 4096, 4096),
        Piece(0, 2, 4096, 8192, 4096),
        Piece(1, 3, 4096, 12288, 212),
    ]


@given(stripings, st.integers(0, 200_000), st.integers(0, 100_000))
def test_pieces_are_the_bytes_asked_for_in_their_order(striping: Striping, offset: int, length: int) -> None:
    at = offset
    for piece in striping.pieces(offset, length):
        assert piece.file_offset == at
        assert 0 < piece.length <= striping.size
        assert piece.object_number == at // striping.size
        assert piece.place == piece.object_number % striping.width
        at += piece.length
    assert at == offset + length


def test_what_lies_on_one_osd_is_read_in_one_call() -> None:
    assert Striping(size=4096, width=2).stretches(4000, 8500, 8192) == [
        Stretch(0, 4000, 4192, [(4000, 96), (8192, 4096)]),
        Stretch(1, 0, 4308, [(4096, 4096), (12288, 212)]),
    ]
    assert Striping(size=4096).stretches(1, 10_000, 8192) == [
        Stretch(0, 1, 8192, [(1, 8192)]),
        Stretch(0, 8193, 1808, [(8193, 1808)]),
    ]


@given(stripings, st.integers(0, 200_000), st.integers(0, 100_000), st.integers(1, 20_000))
def test_stretches_are_the_same_bytes_as_the_pieces(striping: Striping, offset: int, length: int, most: int) -> None:
    wanted, found = {}, {}
    for piece in striping.pieces(offset, length):
        for n in (0, piece.length - 1):
            wanted[piece.file_offset + n] = piece.place, piece.share_offset + n
    total = 0
    for one in striping.stretches(offset, length, most):
        assert 0 < one.length == sum(size for _, size in one.parts) <= most
        at = one.share_offset
        for start, size in one.parts:
            found.update({start + n: (one.place, at + n) for n in range(size)})
            at += size
        total += one.length
    assert total == len(found) == length
    assert wanted.items() <= found.items()


@given(stripings, st.integers(0, 300_000))
def test_shares_hold_all_of_the_file_and_tell_its_size(striping: Striping, size: int) -> None:
    shares = [striping.share_size(size, place) for place in range(striping.width)]
    assert sum(shares) == size
    assert striping.file_size(shares) == size


@given(stripings, st.integers(1, 300_000))
def test_the_last_byte_is_the_last_of_its_share(striping: Striping, size: int) -> None:
    (piece,) = striping.pieces(size - 1, 1)
    assert striping.share_size(size, piece.place) == piece.share_offset + 1


@pytest.mark.parametrize(("size", "width"), [(0, 1), (5000, 1), (4096, 0), (4096, 257), (1 << 30, 1), (-4096, 1)])
def test_layouts_that_cannot_be_are_refused(size: int, width: int) -> None:
    with pytest.raises(ValueError, match=r"object|striped"):
        Striping(size=size, width=width)
