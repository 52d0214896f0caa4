# SPDX-License-Identifier: BSD-3-Clause
"""What a URL and its headers ask for."""

from __future__ import annotations

import errno
import os
from urllib.parse import quote, unquote_to_bytes

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.common.errors import XosError
from xos.xtreemfs.errors import BadPath, NotServed
from xos.xtreemfs.web.asked import Place, Unsatisfiable, href, http_date, matches, place_of, refusal, span
from xos.xtreemfs.web.asked import unchanged_since as unchanged


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("", Place("", "/", is_directory=True)),
        ("home", Place("home", "/", is_directory=True)),
        ("home/", Place("home", "/", is_directory=True)),
        ("home/a%20b/c", Place("home", "/a b/c", is_directory=False)),
        ("home//a///b/", Place("home", "/a/b", is_directory=True)),
        ("home/%FF", Place("home", "/\udcff", is_directory=False)),
        ("home/a%2Fb", Place("home", "/a/b", is_directory=False)),
    ],
)
def test_a_url_names_a_place(where: str, expected: Place) -> None:
    assert place_of(where) == expected


@pytest.mark.parametrize("where", ["home/%00", "home/../x", "home/%2e%2e/x", "home/./x", "home/" + "a" * 5000, "%ff/x"])
def test_what_names_no_file_is_refused(where: str) -> None:
    with pytest.raises(BadPath):
        place_of(where)


@given(st.text(alphabet=st.characters(min_codepoint=32, max_codepoint=126), max_size=200))
def test_whatever_is_asked_for_is_a_place_or_refused(where: str) -> None:
    try:
        place = place_of(where)
    except BadPath:
        return
    assert place.path.startswith("/")
    assert ".." not in place.path.split("/")


@given(st.binary(min_size=1, max_size=60).filter(lambda name: not set(name) & {0, 47} and name not in (b".", b"..")))
def test_a_link_of_a_listing_leads_back_to_the_name(name: bytes) -> None:
    link = href(name, directory=False)
    assert unquote_to_bytes(link) == name
    assert place_of("v/" + link).name == name
    assert ":" not in href(name, directory=True)


@pytest.mark.parametrize(
    ("header", "expected"),
    [
        (None, None), ("", None), ("bytes=0-9", (0, 10)), ("bytes=5-", (5, 100)), ("bytes=-5", (95, 100)),
        ("bytes=9-", (9, 100)), ("bytes=90-999", (90, 100)), ("bytes=-999", (0, 100)), ("bytes=99-99", (99, 100)),
        ("bytes=9-5", None), ("bytes=-", None), ("lines=1-2", None), ("bytes=0-1,5-6", None), ("bytes=x-y", None),
    ],
)  # fmt: skip
def test_a_range_is_a_span_or_passed_over(header: str | None, expected: tuple[int, int] | None) -> None:
    assert span(header, 100) == expected


@pytest.mark.parametrize(
    ("header", "size"), [("bytes=100-", 100), ("bytes=100-200", 100), ("bytes=-0", 100), ("bytes=0-", 0)]
)
def test_bytes_that_are_not_there_cannot_be_had(header: str, size: int) -> None:
    with pytest.raises(Unsatisfiable):
        span(header, size)


@given(st.text(max_size=40), st.integers(0, 1 << 40))
def test_any_range_lies_within_the_file(header: str, size: int) -> None:
    for text in (header, f"bytes={header}"):
        try:
            found = span(text, size)
        except Unsatisfiable:
            continue
        assert found is None or 0 <= found[0] < found[1] <= size


@given(st.text(max_size=60))
def test_a_condition_that_is_none_holds_not(header: str) -> None:
    assert not unchanged(header, 1 << 62)
    assert matches(header, '"tag"') == (header.strip() == "*" or '"tag"' in header)


def test_times_are_compared_by_the_second() -> None:
    assert unchanged(http_date(5 * 10**9 + 999), 5 * 10**9 + 999_999_999)
    assert not unchanged(http_date(5 * 10**9), 6 * 10**9)


@pytest.mark.parametrize(
    ("number", "status"),
    [(errno.ENOENT, 404), (errno.EACCES, 403), (errno.EDQUOT, 507), (errno.EIO, 503), (errno.EISDIR, 409)],
)
def test_what_linux_refuses_has_its_status(number: int, status: int) -> None:
    found = refusal(OSError(number, os.strerror(number)), place_of("home/" + quote("ä")))
    assert isinstance(found, XosError)
    assert (found.http_status, found.message.partition(":")[0]) == (status, "home/ä")
    assert isinstance(refusal(OSError("nothing known"), place_of("home/x")), NotServed)
