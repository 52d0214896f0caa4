# SPDX-License-Identifier: BSD-3-Clause
"""The pure parts: fields, texts, charts, what is believed of a request."""

from __future__ import annotations

import contextlib
import re
import xml.etree.ElementTree as ET

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xos.volife import charts, guard
from xos.volife.errors import BadField, ForeignRequest, StaleForm
from xos.volife.fields import Fields
from xos.volife.limits import network_of
from xos.volife.texts import Pages, ago, prose, size, span
from xos.volife.visit import local_path, theme

HOST = "vo.example.org:6780"


@pytest.mark.parametrize("name", ["line", "secret", "text"])
def test_an_empty_field_is_named_with_what_is_wrong(name: str) -> None:
    with pytest.raises(BadField, match="First password: it is empty"):
        getattr(Fields({}), name)("first_password")


@pytest.mark.parametrize("value", ["a\nb", "a\x00b", "\x1b[31m", "x" * 5000])
def test_a_line_is_one_printable_line_of_bounded_length(value: str) -> None:
    with pytest.raises(BadField):
        Fields({"name": value}).line("name")


@pytest.mark.parametrize("value", ["", "nan", "inf", "-1", "25", "1e999", "0x10"])
def test_a_number_outside_its_bounds_is_refused(value: str) -> None:
    with pytest.raises(BadField):
        Fields({"hours": value}).number("hours", least=1, most=24)


def test_words_stand_between_commas_or_blanks_each_once() -> None:
    assert Fields({"roles": " a, b ,a  c,"}).words("roles") == ("a", "b", "c")


@given(st.dictionaries(st.text(), st.text()), st.text())
def test_whatever_comes_a_field_is_text_or_a_clear_refusal(values: dict[str, str], name: str) -> None:
    fields = Fields(values)
    for read in (fields.line, fields.secret, fields.text):
        with contextlib.suppress(BadField):
            assert isinstance(read(name), str)


@pytest.mark.parametrize(
    "path", ["//evil.example", "/\\evil.example", "https://evil.example", "evil", "", "/\nx", "/a\x00"]
)
def test_a_way_on_never_leads_to_another_site(path: str) -> None:
    assert local_path(path) == "/"


@given(st.text())
def test_a_way_on_is_always_a_path_that_fits_in_a_header(text: str) -> None:
    path = local_path(text)
    assert not path.startswith(("//", "/\\"))
    assert re.fullmatch(r"/[\x21-\x7e]*", path)


@pytest.mark.parametrize(
    ("address", "counted"),
    [("192.0.2.1", "192.0.2.1"), ("2001:db8::1", "2001:db8::/64"), ("fe80::1%eth0", "fe80::/64"), ("", "")],
)
def test_all_addresses_of_one_ipv6_network_are_counted_together(address: str, counted: str) -> None:
    assert network_of(address) == counted


@pytest.mark.parametrize("sent", [
    {"Sec-Fetch-Site": "cross-site"},
    {"Sec-Fetch-Site": "same-site"},
    {"Origin": "https://evil.example"},
    {"Origin": "null"},
    {"Origin": f"http://{HOST}"},
    {"Sec-Fetch-Site": "same-origin", "Origin": "https://evil.example"},
])  # fmt: skip
def test_a_form_that_another_site_sent_is_refused(sent: dict[str, str]) -> None:
    with pytest.raises(ForeignRequest):
        guard.check_origin(sent, HOST)


@pytest.mark.parametrize("sent", [{}, {"Sec-Fetch-Site": "same-origin"}, {"Origin": f"https://{HOST}"}])
def test_a_form_of_our_own_pages_is_taken(sent: dict[str, str]) -> None:
    guard.check_origin(sent, HOST)


@pytest.mark.parametrize("shown", ["", "x", "tokem", "\ud800", "token "])
def test_a_form_without_its_sessions_token_is_refused(shown: str) -> None:
    with pytest.raises(StaleForm):
        guard.check_token(shown, "token")


def test_browsers_are_told_to_run_no_script_but_ours() -> None:
    policy = guard.headers("https://core:6743")["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    assert "script-src 'self';" in policy
    assert "unsafe" not in policy
    assert "connect-src 'self' https://core:6743;" in policy
    assert "frame-ancestors 'none'" in policy


def test_what_stands_between_back_quotes_is_code_and_all_else_is_escaped() -> None:
    assert prose("run `xos-vo <x>` & see") == "run <code>xos-vo &lt;x&gt;</code> &amp; see"


@pytest.mark.parametrize(
    ("seconds", "text"), [(0, "0 s"), (0.25, "0.2 s"), (59, "59 s"), (90, "1.5 min"), (7200, "2.0 h")]
)
def test_a_length_of_time_has_two_figures(seconds: float, text: str) -> None:
    assert span(seconds) == text


def test_times_and_sizes_read_as_people_say_them() -> None:
    assert (ago(100, 160), ago(200, 140), ago(None, 1)) == ("1.0 min ago", "in 1.0 min", "–")
    assert (size(0), size(1536), size(24 << 30)) == ("0 B", "1.5 KiB", "24 GiB")


@pytest.mark.parametrize(
    ("accepted", "language"), [("", "en"), ("de-DE,de;q=0.9", "en"), ("en;q=0.1,xx", "en"), (";;;,q=", "en")]
)
def test_who_wants_a_language_that_is_not_there_reads_english(accepted: str, language: str) -> None:
    assert Pages().language(accepted) == language


@pytest.mark.parametrize(("cookie", "chosen"), [("dark", "dark"), ("light", "light"), ('"><script>', ""), ("", "")])
def test_a_theme_is_one_that_there_is(cookie: str, chosen: str) -> None:
    assert theme(cookie) == chosen


_LABELS = st.text(st.characters(exclude_categories=["Cs", "Cc", "Cn"], max_codepoint=0xD7FF))


@given(st.lists(st.tuples(_LABELS, st.floats(0, 1e12)), max_size=40))
def test_a_chart_is_well_formed_svg_within_its_frame_whatever_is_drawn(points: list[tuple[str, float]]) -> None:
    for draw in (charts.columns, charts.rows):
        drawn = ET.fromstring(str(draw('"<title>"', points, "s")))  # noqa: S314 -- our own, just drawn
        for bar in drawn.iter("rect"):
            assert 0 <= float(bar.get("x", "")) <= charts.WIDTH
            assert float(bar.get("x", "")) + float(bar.get("width", "")) <= charts.WIDTH + 0.1
            assert float(bar.get("height", "")) >= 0


@pytest.mark.parametrize(("top", "end"), [(0, 1), (1, 1), (1.1, 2), (3, 5), (51, 100), (100, 100), (1234, 2000)])
def test_an_axis_ends_at_a_round_figure(top: float, end: float) -> None:
    assert charts.nice(top) == end
