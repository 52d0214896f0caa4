# SPDX-License-Identifier: BSD-3-Clause
"""Packages are built after those that they need, and a circle is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.image.errors import SpecCycle, UnknownPackage
from xos.image.rpms.order import all_needs, chosen, direct_needs

from .conftest import MakeSpec


def test_what_debian_provides_is_not_waited_for(spec: MakeSpec) -> None:
    assert direct_needs([spec("a", "deb(gcc)", "systemd")]) == {"a": frozenset()}


def test_a_spec_may_be_named_by_its_sub_package_or_by_what_that_provides(spec: MakeSpec) -> None:
    specs = [spec("a", packages=("a", "a-client")), spec("b", "a-client"), spec("c", "python3dist(a)")]
    assert direct_needs(specs) == {"a": frozenset(), "b": frozenset({"a"}), "c": frozenset({"a"})}


def test_needs_of_needs_are_installed_too(spec: MakeSpec) -> None:
    needs = all_needs(direct_needs([spec("c", "b"), spec("b", "a"), spec("a")]))
    assert needs["c"] == {"a", "b"}
    assert list(needs) == ["a", "b", "c"]


def test_its_own_sub_package_is_no_need(spec: MakeSpec) -> None:
    assert direct_needs([spec("a", "a-client", packages=("a", "a-client"))]) == {"a": frozenset()}


def test_a_circle_is_told_with_its_names(spec: MakeSpec) -> None:
    with pytest.raises(SpecCycle, match="need each other") as told:
        all_needs(direct_needs([spec("a", "b"), spec("b", "a"), spec("c")]))
    assert "a" in told.value.message
    assert "b" in told.value.message


def test_only_what_is_wanted_is_built_with_what_it_needs(spec: MakeSpec) -> None:
    needs = all_needs(direct_needs([spec("a"), spec("b", "a"), spec("c")]))
    assert chosen(needs, ["b"]) == ("a", "b")
    assert set(chosen(needs, [])) == {"a", "b", "c"}


def test_an_unknown_package_is_told_with_the_known_ones(spec: MakeSpec) -> None:
    with pytest.raises(UnknownPackage) as told:
        chosen(all_needs(direct_needs([spec("a")])), ["b"])
    assert told.value.next_step == "Known: a"


@given(st.lists(st.tuples(st.integers(0, 9), st.integers(0, 9)), max_size=25))
def test_every_package_comes_after_all_that_it_needs(edges: list[tuple[int, int]]) -> None:
    direct = {str(i): frozenset(str(low) for low, high in edges if high == i and low < i) for i in range(10)}
    order = list(all_needs(direct))
    assert sorted(order) == sorted(direct)
    for name in order:
        assert all(order.index(need) < order.index(name) for need in direct[name])
