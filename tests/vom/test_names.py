# SPDX-License-Identifier: BSD-3-Clause
"""Names: what may be called how."""

from __future__ import annotations

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from xos.common.certificate import BadCertificate
from xos.common.certificate import check_name as certificate_name
from xos.vom.errors import BadName
from xos.vom.names import check_label, check_labels, check_name

ANYTHING = st.text(max_size=80) | st.from_regex(r"[A-Za-z0-9._-]{0,70}") | st.binary(max_size=70).map(repr)


@given(ANYTHING)
@example("alice\n")
@example("a" * 64)
@example("a" * 65)
@example("①")
@example("аlice")
def test_a_name_is_good_here_exactly_when_it_may_stand_in_a_certificate(name: str) -> None:
    for ours, capitals in ((check_name, False), (check_label, True)):
        try:
            certificate_name(name, capitals=capitals)
        except BadCertificate:
            with pytest.raises(BadName):
                ours("name", name)
        else:
            assert ours("name", name) == name


@given(ANYTHING)
def test_a_good_name_is_safe_in_paths_lists_and_sql(name: str) -> None:
    try:
        check_label("group", name)
    except BadName:
        return
    assert name.isascii()
    assert not set(name) & set("/,'\"\\\0\n \t;%=")
    assert not name.startswith((".", "-"))


@given(st.lists(st.from_regex(r"[A-Za-z0-9][A-Za-z0-9._-]{0,5}", fullmatch=True), max_size=20))
def test_labels_come_sorted_and_each_once(names: list[str]) -> None:
    checked = check_labels("roles", tuple(names), most=20)
    assert list(checked) == sorted(set(names))


def test_more_labels_than_allowed_are_refused() -> None:
    with pytest.raises(BadName):
        check_labels("roles", ("a", "b", "c"), most=2)
