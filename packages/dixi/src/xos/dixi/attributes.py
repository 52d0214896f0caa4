# SPDX-License-Identifier: BSD-3-Clause
"""The strings that stand under the attributes of a class: Python does not keep them, the source does."""

from __future__ import annotations

import ast
import inspect
import textwrap


def attribute_docs(cls: type) -> dict[str, str]:
    """Attribute name to the docstring under it; empty where the source is not at hand (frozen or zipped code)."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if base.__module__.partition(".")[0] in _WITHOUT:
            continue
        try:
            source = inspect.getsource(base)
        except (OSError, TypeError):
            continue
        docs |= _docs_in(source)
    return docs


_WITHOUT = frozenset({"builtins", "enum", "msgspec", "typing"})


def _docs_in(source: str) -> dict[str, str]:
    (definition,) = ast.parse(textwrap.dedent(source)).body
    docs: dict[str, str] = {}
    name = ""
    for statement in getattr(definition, "body", ()):
        match statement:
            case ast.AnnAssign(target=ast.Name(id=target)) | ast.Assign(targets=[ast.Name(id=target)]):
                name = target
            case ast.Expr(value=ast.Constant(value=str(text))) if name:
                docs[name] = inspect.cleandoc(text)
                name = ""
            case _:
                name = ""
    return docs
