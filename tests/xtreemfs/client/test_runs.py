# SPDX-License-Identifier: BSD-3-Clause
"""What was written and not sent yet: the same bytes as in a file, whatever the order of the writes."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from xos.xtreemfs.client import runs
from xos.xtreemfs.client.runs import Run, Runs, lay_over, overlap

SIZE = 64
WRITES = st.lists(st.tuples(st.integers(0, SIZE - 1), st.binary(min_size=1, max_size=20)), max_size=20)


def as_file(kept: list[Run]) -> dict[int, int]:
    return {run.offset + at: byte for run in kept for at, byte in enumerate(run.content)}


@given(WRITES)
def test_the_last_write_of_each_byte_counts(writes: list[tuple[int, bytes]]) -> None:
    kept, model = Runs(), {}
    for offset, content in writes:
        kept.put(offset, content)
        model.update({offset + at: byte for at, byte in enumerate(content)})
    assert kept.size == len(model)
    taken = kept.take()
    assert as_file(taken) == model
    assert sum(len(run.content) for run in taken) == len(model), "runs overlap"
    assert [run.offset for run in taken] == sorted(run.offset for run in taken)
    assert not kept
    assert kept.size == 0


@given(WRITES, st.integers(0, SIZE), st.integers(0, SIZE))
def test_what_is_unsent_lies_over_what_was_read(writes: list[tuple[int, bytes]], offset: int, length: int) -> None:
    kept, model = Runs(), bytearray(2 * SIZE)
    for at, content in writes:
        kept.put(at, content)
        model[at : at + len(content)] = content
    found = bytearray(length)
    for run in kept.overlapping(offset, offset + length):
        lay_over(found, offset, run)
    assert found == model[offset : offset + length]


@given(WRITES, WRITES)
def test_whether_runs_overlap_is_told(some: list[tuple[int, bytes]], others: list[tuple[int, bytes]]) -> None:
    here, there = Runs(), Runs()
    for kept, writes in ((here, some), (there, others)):
        for offset, content in writes:
            kept.put(offset, content)
    these, those = here.take(), there.take()
    assert overlap(these, those) == bool(as_file(these).keys() & as_file(those).keys())


def test_writes_one_behind_the_other_become_one_run_up_to_a_size() -> None:
    kept = Runs()
    for at in range(0, runs.MERGE_BYTES + 8192, 4096):
        kept.put(at, bytes(4096))
    assert [len(run.content) for run in kept.take()] == [runs.MERGE_BYTES, 8192]


def test_what_was_taken_is_not_changed_by_later_writes() -> None:
    kept = Runs()
    kept.put(0, b"first")
    (taken,) = kept.take()
    kept.put(0, b"later")
    assert taken.content == b"first"
