# SPDX-License-Identifier: BSD-3-Clause
"""Collect the texts to be translated: ``python -m xos.volife.catalogue`` writes ``locale/volife.pot`` (gettext)."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

from jinja2.ext import babel_extract

from xos.volife.texts import DOMAIN, HERE

POT = HERE / "locale" / f"{DOMAIN}.pot"
HEAD = 'msgid ""\nmsgstr ""\n"Content-Type: text/plain; charset=UTF-8\\n"\n"Content-Transfer-Encoding: 8bit\\n"\n'
SAYS = "tell"
"""`Visit.tell`: its first argument is a text."""


def texts() -> dict[tuple[str, ...], list[str]]:
    """Every text (with its plural, if it has one), and the files where it stands."""
    found: dict[tuple[str, ...], list[str]] = {}
    for path in sorted((HERE / "templates").glob("*.html")):
        for text in _of_template(path):
            found.setdefault(text, []).append(f"templates/{path.name}")
    for path in sorted(HERE.rglob("*.py")):
        for text in _of_module(path):
            found.setdefault(text, []).append(str(path.relative_to(HERE)))
    return found


def pot() -> str:
    """The catalogue to translate from."""
    entries = [HEAD]
    for text, places in sorted(texts().items()):
        lines = [f"#: {' '.join(dict.fromkeys(places))}", f"msgid {_quoted(text[0])}"]
        if len(text) > 1:
            lines += [f"msgid_plural {_quoted(text[1])}", 'msgstr[0] ""', 'msgstr[1] ""']
        else:
            lines.append('msgstr ""')
        entries.append("\n".join(lines) + "\n")
    return "\n".join(entries)


def _of_template(path: Path) -> Iterator[tuple[str, ...]]:
    options = {"trim_blocks": "true", "lstrip_blocks": "true", "silent": "false"}
    with path.open("rb") as file:
        for _, _, message, _ in babel_extract(file, ("_", "gettext", "ngettext"), (), options):
            words = (message,) if isinstance(message, str) else message
            if words and (text := tuple(word for word in words if isinstance(word, str))):
                yield text


def _of_module(path: Path) -> Iterator[tuple[str, ...]]:
    for node in ast.walk(ast.parse(path.read_bytes())):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == SAYS and node.args:
            first = node.args[0]
            if isinstance(first, ast.Constant) and isinstance(first.value, str):
                yield (first.value,)


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def main() -> int:
    """Write the catalogue; with ``--check`` say whether it is fresh."""
    fresh = pot()
    if "--check" in sys.argv[1:]:
        return 0 if POT.exists() and POT.read_text() == fresh else 1
    POT.parent.mkdir(exist_ok=True)
    POT.write_text(fresh)
    return 0


if __name__ == "__main__":
    sys.exit(main())
