# SPDX-License-Identifier: BSD-3-Clause
from __future__ import annotations

import textwrap
import tomllib
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from xos.common.toml_lines import Key, key_lines


def test_every_form_of_key_is_found() -> None:
    text = textwrap.dedent('''\
        # a comment with a = 1 and [table]
        plain = 1
        "quo ted" = 2
        'lit.eral' = 3
        a . b."c.d" = 4
        text = """
        fake = 1
        [fake]
        """
        raw = \'\'\'
        fake = 2
        \'\'\'
        "esc\\u0061ped" = "a \\" # ] } , b"
        list = [ # comment ]
          1, "two # not a comment", [3,
          4], { x = 5, y.z = [ 6 ] },
        ]
        inline = { p = 1, q = { r = "}" }, s = 'it''s' }

        [table]   # comment
        key = 1979-05-27 07:32:00

        [ table . sub ]
        key = -inf

        [[many]]
        key = 1
        [many.inner]
        key = 2
        [[many.deep]]
        key = 3
        [[many]]
        key = 4
        [[many.deep]]
        key = 5
    ''').replace("'it''s'", "'its'")
    lines = key_lines(text)
    assert set(paths(tomllib.loads(text))) == set(lines)
    expected: dict[Key, int] = {
        ("plain",): 2,
        ("quo ted",): 3,
        ("lit.eral",): 4,
        ("a", "b", "c.d"): 5,
        ("text",): 6,
        ("raw",): 10,
        ("escaped",): 13,
        ("list",): 14,
        ("list", 0): 15,
        ("list", 2, 0): 15,
        ("list", 2, 1): 16,
        ("list", 3, "y", "z", 0): 16,
        ("inline", "q", "r"): 18,
        ("inline", "s"): 18,
        ("table",): 20,
        ("table", "key"): 21,
        ("table", "sub", "key"): 24,
        ("many",): 26,
        ("many", 0): 26,
        ("many", 0, "inner", "key"): 29,
        ("many", 0, "deep", 0, "key"): 31,
        ("many", 1): 32,
        ("many", 1, "key"): 33,
        ("many", 1, "deep", 0, "key"): 35,
    }
    assert {path: lines[path] for path in expected} == expected


def paths(value: Any, path: Key = ()) -> list[Key]:
    """Every path into a document."""
    found = [path] if path else []
    if isinstance(value, dict):
        found += [one for key, inner in value.items() for one in paths(inner, (*path, key))]
    elif isinstance(value, list):
        found += [one for number, inner in enumerate(value) for one in paths(inner, (*path, number))]
    return found


NAMES = st.sampled_from(["a", "b-1", "c c", "d.d", "é", '"', "", "#"])
LEAVES = st.sampled_from(["1", "true", '"x # ] }"', "'y'", '"""\n[z]\nq = 1\n"""', "'''\n#\n'''", "1e9", '"\\""'])


def quoted(name: str) -> str:
    plain = name.replace('"', '\\"')
    return name if name.isascii() and name.replace("-", "").isalnum() else f'"{plain}"'


def written(value: Any) -> str:
    """A value as TOML, arrays over several lines."""
    if isinstance(value, list):
        return "[ # [\n" + "".join(f"  {written(one)}, # ]\n" for one in value) + "]"
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{quoted(key)} = {written(one)}" for key, one in value.items()) + " }"
    return str(value)


VALUES = st.recursive(
    LEAVES, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3), max_leaves=8
)


@given(st.dictionaries(NAMES, st.dictionaries(NAMES, VALUES, max_size=4), max_size=4), st.sampled_from(["\n", "\r\n"]))
def test_in_any_document_every_key_is_found_on_its_line(document: dict[str, dict[str, Any]], newline: str) -> None:
    text = ""
    expected: dict[Key, int] = {}
    for table, content in document.items():
        text += f"\n[ {quoted(table)} ]\n"
        expected[(table,)] = text.count("\n")
        for key, value in content.items():
            expected[table, key] = text.count("\n") + 1
            text += f"{quoted(key)} = {written(value)} # end\n"
    text = text.replace("\n", newline)
    lines = key_lines(text)
    assert set(lines) == set(paths(tomllib.loads(text)))
    assert {path: lines[path] for path in expected} == expected
