# SPDX-License-Identifier: BSD-3-Clause
"""What is near: for the choice of OSDs, and of the replica that is read."""

from __future__ import annotations

import random
from pathlib import Path

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from support.dixi import Grid, make_grid
from support.mrc import NODE1, acting, serving
from xos.xtreemfs.api import Access, Layout, Open, Policy, Replica, ServiceRecord, Striping, Update
from xos.xtreemfs.mrc.distance import distance, kilometres, seen_from
from xos.xtreemfs.mrc.placement import Asked, is_known, place, select


@pytest.fixture(scope="module")
def grid() -> Grid:
    return make_grid()


RENNES, NANTES, BOLZANO = "48.11,-1.68", "47.22,-1.55", "46.50,11.35"


def osd(node: str, site: str = "", coordinates: str = "", **fields: object) -> ServiceRecord:
    given_ = {"site": site, "coordinates": coordinates}
    attributes = tuple((name, value) for name, value in given_.items() if value)
    return ServiceRecord("OSD", node, 1 << 40, 1 << 39, attributes=attributes, **fields)  # type: ignore[arg-type]


HERE = osd("here", "rennes", RENNES)
ALL = [osd("mute"), osd("wrong", "", "north,west"), osd("far", "bolzano", BOLZANO), osd("town", "nantes", NANTES),
       osd("next", "rennes"), HERE]  # fmt: skip
BY_NAME = {one.node: one for one in ALL}


def test_the_same_machine_is_nearest_then_its_site_then_by_kilometres_then_who_is_mute() -> None:
    chosen = select(ALL, ["near"], Asked(random.Random(1), HERE))
    assert [one.node for one in chosen] == ["here", "next", "town", "far", "mute", "wrong"]


def test_near_keeps_the_order_that_there_was_among_those_as_far() -> None:
    chosen = select(ALL, ["names:far+next+wrong+mute", "near"], Asked(random.Random(1), HERE))
    assert [one.node for one in chosen] == ["next", "far", "wrong", "mute"]


def test_without_a_machine_to_be_near_to_nothing_changes() -> None:
    assert select(ALL, ["near"], Asked(random.Random(1))) == ALL
    assert is_known(["usable", "near"])


@pytest.mark.parametrize(("one", "other", "expected"), [("48.11,-1.68", "46.50,11.35", 998), ("0,0", "0,180", 20015)])
def test_kilometres_are_those_of_the_earth(one: str, other: str, expected: int) -> None:
    here, there = (tuple(map(float, text.split(","))) for text in (one, other))
    assert round(kilometres(here, there)) == pytest.approx(expected, abs=15)  # type: ignore[arg-type]


_RECORDS = st.builds(osd, st.sampled_from("abc"), st.sampled_from(["", "x", "y"]), st.text(max_size=12))


@given(_RECORDS, _RECORDS)
def test_it_is_as_far_there_as_back_whatever_machines_say_of_themselves(
    one: ServiceRecord, other: ServiceRecord
) -> None:
    assert distance(one, other)[0] == distance(other, one)[0]
    assert distance(one, other)[1] == pytest.approx(distance(other, one)[1])


def test_replicas_of_what_does_not_change_are_read_nearest_first() -> None:
    replicas = (Replica(("far",)), Replica(("gone",)), Replica(("next",), complete=False), Replica(("here",)))
    layout = Layout(Striping(), replicas, Update.READ_ONLY, version=4, primary=1)
    seen = seen_from(HERE, layout, BY_NAME)
    assert [one.osds[0] for one in seen.replicas] == ["here", "next", "far", "gone"]
    assert (seen.replicas[seen.primary].osds, seen.version) == (("gone",), 4)
    written = msgspec.structs.replace(layout, update=Update.QUORUM)
    assert seen_from(HERE, written, BY_NAME) == written


def test_a_striped_replica_is_as_far_as_its_farthest_osd() -> None:
    layout = Layout(Striping(width=2), (Replica(("here", "far")), Replica(("next", "town"))), Update.READ_ONLY)
    assert seen_from(HERE, layout, BY_NAME).replicas[0].osds == ("next", "town")


def test_new_files_lie_near_to_who_makes_them_if_the_policy_says_so() -> None:
    policy = Policy(osd_selection=("usable", "random", "near"))
    found = place(ALL, policy, Asked(random.Random(2), HERE))
    assert found is not None
    assert found.replicas == (Replica(("here",)),)


async def test_who_opens_a_file_gets_what_is_near(grid: Grid, tmp_path: Path) -> None:
    policy = Policy(update=Update.QUORUM, replicas=3, osd_selection=("usable", "random", "near"))
    async with serving(grid, tmp_path) as mrc:
        await mrc.volume(policy=policy)
        session = await mrc.session()
        for turn in range(5):
            with acting(NODE1):
                wanted = Open(Access.WRITE, create=True)
                made = await mrc.service.open_name(session.root.id, b"f%d" % turn, wanted, mrc.ask(session))
            assert mrc.capability(made).layout.replicas[0].osds == ("node1",)


async def test_who_reads_what_does_not_change_is_shown_the_nearest_replica_first(grid: Grid, tmp_path: Path) -> None:
    async with serving(grid, tmp_path) as mrc:
        policy = Policy(osd_selection=("names:node3+node2+node1",))
        await mrc.volume(policy=policy)
        session = await mrc.session()
        with acting(NODE1):
            wanted = Open(Access.READ | Access.WRITE, create=True)
            made = await mrc.service.open_name(session.root.id, b"f", wanted, mrc.ask(session))
            await mrc.service.end(session.id)
            kept = await mrc.service.change_layout(made.inode.id, 3, Update.READ_ONLY, (), mrc.ask(await mrc.session()))
            assert kept.replicas[0].osds == ("node3",)
            session = await mrc.session()
            opened = await mrc.service.open(made.inode.id, Open(Access.READ), mrc.ask(session))
        assert mrc.capability(opened).layout.replicas[0].osds == ("node1",)
