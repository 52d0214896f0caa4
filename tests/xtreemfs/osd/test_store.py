# SPDX-License-Identifier: BSD-3-Clause
"""What an OSD keeps: it reads as it was written, damage shows, and what a crash leaves is not taken for damage."""

from __future__ import annotations

import asyncio
import os
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xos.xtreemfs.errors import BadFileId, CorruptShare, OsdFull, ShareTooLarge, UnknownFile
from xos.xtreemfs.osd.checksums import BLOCK, Mark, extended, replaced, sum_of
from xos.xtreemfs.osd.disk import SLOW_SECONDS, SMALL, LocalDisk
from xos.xtreemfs.osd.scrubbing import Scrubber
from xos.xtreemfs.osd.share import MOST_BYTES, unchanged
from xos.xtreemfs.osd.store import ShareStore

FILE = "demo-17"


@pytest.fixture
def store(tmp_path: Path) -> Iterator[ShareStore]:
    made = ShareStore(tmp_path)
    yield made
    made.close()


def files_of(root: Path) -> tuple[Path, Path]:
    (data,) = root.glob("shares/*/*.data")
    return data, data.with_suffix(".sums")


def filled(store: ShareStore, content: bytes, *, sync: bool = True) -> None:
    with store.share(FILE, create=True) as share:
        share.write(0, content)
        if sync:
            share.sync()


def flip(path: Path, offset: int) -> None:
    with path.open("r+b") as file:
        file.seek(offset)
        byte = file.read(1)
        file.seek(offset)
        file.write(bytes([byte[0] ^ 1]))


# Around the ends of blocks, where mistakes live.
near = st.builds(lambda block, by: max(0, block * BLOCK + by), st.integers(0, 3), st.integers(-3, 3))
changes = st.one_of(
    st.tuples(st.just("write"), near, near.map(lambda length: min(length, 2 * BLOCK)), st.integers(1, 255)),
    st.tuples(st.just("truncate"), near, st.just(0), st.just(0)),
    st.tuples(st.just("sync"), st.just(0), st.just(0), st.just(0)),
    st.tuples(st.just("again"), st.just(0), st.just(0), st.just(0)),
)


@given(st.lists(changes, max_size=12))
def test_a_share_is_what_was_written_whatever_the_order(steps: list[tuple[str, int, int, int]]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        store, model = ShareStore(Path(place)), bytearray()
        for what, offset, length, byte in steps:
            if what == "again":
                store.close()
                store = ShareStore(Path(place))
                continue
            with store.share(FILE, create=True) as share:
                if what == "write":
                    share.write(offset, bytes([byte]) * length)
                    if length:
                        model.extend(bytes(max(0, offset - len(model))))
                        model[offset : offset + length] = bytes([byte]) * length
                elif what == "truncate":
                    share.truncate(offset)
                    del model[offset:]
                    model.extend(bytes(offset - len(model)))
                else:
                    share.sync()
                assert share.size == len(model)
        with store.share(FILE, create=True) as share:
            assert share.read(0, len(model) + 10) == model
            assert share.read(BLOCK - 2, 4) == model[BLOCK - 2 : BLOCK + 2]
        assert all(sound for _, sound in store.scrub(FILE))
        store.close()


def test_a_flipped_bit_is_found_when_it_is_read_and_by_the_scrubber(store: ShareStore, tmp_path: Path) -> None:
    filled(store, os.urandom(3 * BLOCK))
    data, _ = files_of(tmp_path)
    flip(data, BLOCK + 100)
    with store.share(FILE) as share:
        assert len(share.read(0, BLOCK)) == BLOCK
        with pytest.raises(CorruptShare) as damage:
            share.read(BLOCK + 5000, 1)
    assert (damage.value.data["start"], damage.value.data["end"]) == (BLOCK, 2 * BLOCK)
    assert list(store.scrub(FILE)) == [(BLOCK, True), (2 * BLOCK, False), (3 * BLOCK, True)]


@pytest.mark.parametrize("at", [0, 1, 99, 101, 4096, BLOCK - 2])
def test_damage_is_not_hidden_by_writes_beside_or_over_it(store: ShareStore, tmp_path: Path, at: int) -> None:
    filled(store, os.urandom(BLOCK - 1))
    flip(files_of(tmp_path)[0], at)
    with store.share(FILE) as share:
        with pytest.raises(CorruptShare):
            share.truncate(2 * BLOCK)
        # In the middle, over a part that may be the damaged one, and at the end, which grows.
        share.write_parts([(0, b"a" * 100), (4000, b"b" * 200), (BLOCK - 3, b"c" * 5)])
        with pytest.raises(CorruptShare):
            share.read(200, 1)
        assert share.read(BLOCK, 10) == b"cc"
        with pytest.raises(CorruptShare):
            share.truncate(50)
        share.write(0, b"y" * BLOCK)  # nothing of the old is left
        assert share.read(0, 3) == b"yyy"


@settings(max_examples=30)
@given(st.lists(st.tuples(near, near.map(lambda length: max(1, min(length, 2 * BLOCK)))), max_size=8))
def test_parts_of_one_write_are_where_they_belong(parts: list[tuple[int, int]]) -> None:
    with tempfile.TemporaryDirectory(dir="/dev/shm") as place:
        store, model = ShareStore(Path(place)), bytearray(os.urandom(BLOCK + 77))
        filled(store, bytes(model), sync=False)
        written = [(offset, os.urandom(length)) for offset, length in parts]
        with store.share(FILE) as share:
            share.write_parts(written)
            for offset, content in written:
                model.extend(bytes(max(0, offset - len(model))))
                model[offset : offset + len(content)] = content
            assert share.read(0, len(model) + 1) == model
        assert all(sound for _, sound in store.scrub(FILE))
        store.close()


@given(st.binary(max_size=300), st.binary(min_size=1, max_size=300), st.integers(0, BLOCK))
def test_sums_of_what_changes_in_part_are_those_of_the_whole(before: bytes, old: bytes, behind: int) -> None:
    behind = min(behind, BLOCK - len(before) - len(old))
    new, rest = os.urandom(len(old)), os.urandom(behind)
    assert replaced(sum_of(before + old + rest), behind, old, new) == sum_of(before + new + rest)
    assert extended(sum_of(before), old) == sum_of(before + old)


def test_damage_is_found_after_a_restart_too(tmp_path: Path) -> None:
    store = ShareStore(tmp_path)
    filled(store, b"x" * 1000, sync=False)
    store.close()
    flip(files_of(tmp_path)[0], 10)
    store = ShareStore(tmp_path)
    with store.share(FILE) as share, pytest.raises(CorruptShare):
        share.read(0, 10)
    store.close()


def test_a_share_that_was_cut_behind_our_back_is_damaged(store: ShareStore, tmp_path: Path) -> None:
    filled(store, b"x" * 1000)
    os.truncate(files_of(tmp_path)[0], 500)
    with store.share(FILE) as share, pytest.raises(CorruptShare):
        share.read(0, 1000)


def test_what_a_crash_left_unsynced_is_not_taken_for_damage(tmp_path: Path) -> None:
    before = ShareStore(tmp_path)
    filled(before, b"a" * BLOCK)
    with before.share(FILE) as share:
        share.write(10, b"never synced")
    data, _ = files_of(tmp_path)
    flip(data, 12)  # the power went before this byte was on disk; `before` is never closed
    after = ShareStore(tmp_path)
    with after.share(FILE) as share:
        assert share.read(0, 10) == b"a" * 10
        assert share.size == BLOCK
    after.close()


@pytest.mark.parametrize("left", [0, 5, 16, 18], ids=["nothing", "half a head", "the head", "half a sum"])
def test_sums_of_a_new_share_that_a_crash_cut_are_made_anew(tmp_path: Path, left: int) -> None:
    before = ShareStore(tmp_path)
    filled(before, b"a" * 100 + b"b" * BLOCK, sync=False)
    _, sums = files_of(tmp_path)
    os.truncate(sums, left)
    after = ShareStore(tmp_path)
    with after.share(FILE) as share:
        assert share.read(99, 2) == b"ab"
    after.close()
    assert all(sound for _, sound in ShareStore(tmp_path).scrub(FILE))


def test_a_hole_costs_no_disk_even_when_its_sums_are_made_anew(tmp_path: Path) -> None:
    before = ShareStore(tmp_path)
    with before.share(FILE, create=True) as share:
        share.write(1 << 40, b"x")
    after = ShareStore(tmp_path)
    with after.share(FILE) as share:
        assert share.read((1 << 40) - 2, 3) == b"\0\0x"
        assert share.read(1 << 39, 4) == bytes(4)
        share.truncate(1 << 41)
        assert share.size == 1 << 41
    data, sums = files_of(tmp_path)
    assert (data.stat().st_blocks + sums.stat().st_blocks) * 512 < 1 << 20
    after.close()


@pytest.mark.skipif(os.geteuid() != 0, reason="needs root to mount a small disk")
def test_a_full_disk_is_told_and_loses_nothing_that_was_there(tmp_path: Path) -> None:
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(tmp_path)], check=True)
    try:
        store = ShareStore(tmp_path)
        filled(store, b"kept" * 1000)
        with store.share(FILE) as share:
            with pytest.raises(OsdFull):
                share.write(4000, b"x" * (4 << 20))
            assert share.read(0, 4000) == b"kept" * 1000
            share.truncate(4000)
            share.write(0, b"more")
            assert share.read(0, 8) == b"morekept"
        store.close()
    finally:
        subprocess.run(["umount", str(tmp_path)], check=True)


def test_files_that_are_not_there_and_ids_that_are_none_are_refused(store: ShareStore) -> None:
    with pytest.raises(UnknownFile), store.share("none"):
        pass
    for bad in ("", "../x", "A", "a" * 65, "a/b", "a\0"):
        with pytest.raises(BadFileId), store.share(bad, create=True):
            pass
    assert store.delete(["none"]) == 0


def test_no_share_reaches_beyond_what_a_disk_can_hold(store: ShareStore) -> None:
    with store.share(FILE, create=True) as share:
        for offset, length in ((MOST_BYTES, 1), (-1, 5), (0, MOST_BYTES + 1)):
            with pytest.raises(ShareTooLarge):
                share.read(offset, length)
        with pytest.raises(ShareTooLarge):
            share.write(MOST_BYTES, b"x")
        with pytest.raises(ShareTooLarge):
            share.truncate(MOST_BYTES + 1)


def test_a_deleted_share_is_gone_though_somebody_uses_it(store: ShareStore) -> None:
    filled(store, b"old")
    with store.share(FILE) as share:
        assert store.delete([FILE, "none"]) == 1
        assert share.read(0, 3) == b"old"
        with pytest.raises(UnknownFile), store.share(FILE):
            pass
        filled(store, b"new")
        share.write(0, b"odd")
    with store.share(FILE) as share:
        assert share.read(0, 3) == b"new"
    assert list(store.file_ids()) == [FILE]


def test_few_shares_stay_open_and_damage_is_found_in_those_that_do_not(tmp_path: Path) -> None:
    store = ShareStore(tmp_path, most_open=3)
    for number in range(20):
        with store.share(f"f{number}", create=True) as share:
            share.write(0, b"%d" % number)
    assert len(store._open) <= 3
    (data,) = tmp_path.glob("shares/*/f0.data")
    flip(data, 0)
    with store.share("f0") as share, pytest.raises(CorruptShare):
        share.read(0, 1)
    store.close()


def test_what_was_put_away_is_summed_anew_after_a_power_cut_unless_the_scrubber_synced_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = ShareStore(tmp_path, most_open=0)
    filled(store, b"first", sync=False)
    data, _ = files_of(tmp_path)
    monkeypatch.setattr("xos.xtreemfs.osd.share.boot_id", lambda: b"another1")
    flip(data, 0)  # the power went before this byte was on disk
    with store.share(FILE) as share:
        assert share.read(0, 5) == b"girst"
        share.write(0, b"x")
    disk = LocalDisk(store)
    asyncio.run(Scrubber(store, disk, 1000.0).round())
    monkeypatch.setattr("xos.xtreemfs.osd.share.boot_id", lambda: b"another2")
    flip(data, 0)
    with store.share(FILE) as share, pytest.raises(CorruptShare):
        share.read(0, 5)
    disk.close()


def test_threads_do_not_disturb_each_other(tmp_path: Path) -> None:
    store = ShareStore(tmp_path, most_open=2)
    wrong = []

    def work(number: int) -> None:
        for round_ in range(30):
            with store.share(f"f{round_ % 5}", create=True) as share:
                share.write(number * 1000, bytes([number + 1]) * 1000)
                if share.read(number * 1000, 1000) != bytes([number + 1]) * 1000:
                    wrong.append((number, round_))

    threads = [threading.Thread(target=work, args=(number,)) for number in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
    store.close()
    again = ShareStore(tmp_path)
    assert all(sound for file_id in again.file_ids() for _, sound in again.scrub(file_id))
    again.close()


# --- without a thread


def test_what_is_in_memory_is_read_without_waiting_and_damage_shows(store: ShareStore, tmp_path: Path) -> None:
    content = os.urandom(BLOCK + 100)
    filled(store, content)
    with store.share(FILE) as share:
        if share.read_now(0, 1) is None:
            pytest.skip("the file system here does not say what is in memory")
        for offset, length in ((0, BLOCK + 100), (5, 10), (BLOCK - 1, 2), (BLOCK + 90, 50), (BLOCK + 100, 1)):
            assert share.read_now(offset, length) == content[offset : offset + length]
        flip(files_of(tmp_path)[0], 7)
        with pytest.raises(CorruptShare):
            share.read_now(0, 1)
        assert share.read_now(BLOCK, 1) == content[BLOCK : BLOCK + 1]


def test_a_share_that_another_thread_has_is_not_waited_for(store: ShareStore) -> None:
    began, go_on = threading.Event(), threading.Event()

    def hold(mark: Mark) -> Mark:
        began.set()
        assert go_on.wait(10)
        return mark

    with store.share(FILE, create=True) as share:
        thread = threading.Thread(target=share.keep, args=(hold,))
        thread.start()
        assert began.wait(10)
        assert share.append_now(0, b"x") is None
        assert share.read_now(0, 1) is None
        go_on.set()
        thread.join()
        assert share.append_now(0, b"x") is not None
        assert share.read(0, 9) == b"x"


def test_only_what_needs_no_reading_and_no_syncing_is_added_without_a_thread(store: ShareStore) -> None:
    with store.share(FILE, create=True) as share:
        for offset, content in ((0, b"one"), (3, b"two"), (6, bytes(BLOCK))):
            state = share.append_now(offset, content)
            assert state is not None
            assert state.size == offset + len(content)
        for offset in (0, 6 + BLOCK - 1, 6 + BLOCK + 1):
            assert share.append_now(offset, b"x") is None
        assert share.read(0, 2 * BLOCK) == b"onetwo" + bytes(BLOCK)
        share.sync()
        assert share.append_now(6 + BLOCK, b"x") is None  # before that DIRTY must be on disk
        share.write(6 + BLOCK, b"x")
        assert share.append_now(7 + BLOCK, b"y") is not None
        assert share.read(6 + BLOCK, 9) == b"xy"


def test_what_was_found_dirty_is_not_added_to_before_it_is_summed(tmp_path: Path) -> None:
    store = ShareStore(tmp_path)
    filled(store, b"old", sync=False)
    files_of(tmp_path)[1].unlink()
    again = ShareStore(tmp_path)
    with again.share(FILE) as share:
        assert share.append_now(3, b"er") is None
        assert share.read_now(0, 3) is None
        assert share.read(0, 9) == b"old"
        assert share.append_now(3, b"er") is not None
        assert share.read(0, 9) == b"older"
    again.close()
    store.close()


async def test_a_disk_that_was_slow_is_waited_for_by_threads(store: ShareStore) -> None:
    times = iter([0.0, 0.0, 0.0, 1.0, 1.0, 1.0 + SLOW_SECONDS * 2, 1.5, 3.0, 3.0, 3.0])
    disk = LocalDisk(store, lambda: next(times))
    assert disk.append_now("one-1", 0, b"x", unchanged) is not None
    assert disk.append_now("one-1", 1, bytes(SMALL + 1), unchanged) is None
    assert disk.append_now("one-2", 0, b"x", unchanged) is not None
    assert disk.append_now("one-3", 0, b"x", unchanged) is None
    assert (await disk.write("one-3", 0, b"x", unchanged)).size == 1
    assert disk.append_now("one-4", 0, b"x", unchanged) is not None


def test_the_mark_of_a_share_is_told_whether_it_is_open_or_not(tmp_path: Path) -> None:
    store = ShareStore(tmp_path)
    assert store.mark(FILE) == Mark()
    with store.share(FILE, create=True) as share:
        share.keep(lambda mark: mark._replace(layout=7))
        assert store.mark(FILE).layout == 7
    assert ShareStore(tmp_path).mark(FILE).layout == 7
    with pytest.raises(BadFileId):
        store.mark("../x")
    store.close()
