# SPDX-License-Identifier: BSD-3-Clause
"""Configuration: TOML into frozen msgspec structs, every mistake named with file, line and key.

class Listen(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    address: str
    backlog: Annotated[int, msgspec.Meta(ge=1)] = 128

load(Path("/etc/xos/dixid.toml"), DaemonConfig)

dixid.toml:7: listen[1].adress: unknown key
  Did you mean "address"?
"""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TypeVar

import msgspec

from xos.common.errors import ConfigError, ConfigMissing
from xos.common.toml_lines import Key, key_lines

__all__ = ["ConfigError", "ConfigMissing", "convert", "load", "parse"]

T = TypeVar("T")

MAX_BYTES = 1 << 20


def load(path: Path, kind: type[T]) -> T:
    """The configuration in *path* as a *kind*. Raises `ConfigMissing` and `ConfigError`."""
    return parse(_read(path), kind, file=str(path))


def parse(text: str, kind: type[T], *, file: str) -> T:
    """The TOML *text* as a *kind*; *file* is named in errors. Raises `ConfigError`."""
    document = _toml(text, file)
    try:
        return _convert(document, kind)
    except msgspec.ValidationError as error:
        raise _explain(error, document, kind, (), text, file) from error


def convert(data: dict[str, Any], kind: type[T], *, where: str = "", file: Path | None = None) -> T:
    """A table that was left open by `load` (a field of type ``dict[str, Any]``), as a *kind*.

    *where* is its dotted name in *file*, such as ``services.CDA.settings``; both serve the error. Raises `ConfigError`.
    """
    try:
        return _convert(data, kind)
    except msgspec.ValidationError as error:
        prefix: Key = tuple(where.split(".")) if where else ()
        try:
            text = _read(file) if file is not None else None
        except ConfigMissing:
            text = None  # it was there a moment ago; the error is as good without a line
        raise _explain(error, data, kind, prefix, text, str(file or "")) from error


def _convert(data: Any, kind: type[T]) -> T:
    return msgspec.convert(data, kind, strict=True, str_keys=True, dec_hook=_decode)


def _decode(kind: type[Any], value: Any) -> Any:
    if issubclass(kind, Path) and isinstance(value, str):
        return kind(value)
    raise ValueError(f"Expected `{kind.__name__}`")


def _read(path: Path) -> str:
    try:
        with path.open("rb") as stream:
            raw = stream.read(MAX_BYTES + 1)
    except OSError as error:
        raise ConfigMissing(file=str(path), detail=error.strerror or "cannot be read") from error
    if len(raw) > MAX_BYTES:
        raise ConfigError(file=str(path), line=1, key="(file)", detail=f"longer than {MAX_BYTES} bytes")
    try:
        return raw.decode("utf-8")
    except UnicodeDecodeError as error:
        line = raw.count(b"\n", 0, error.start) + 1
        raise ConfigError(file=str(path), line=line, key="(file)", detail="not UTF-8") from error


def _toml(text: str, file: str) -> dict[str, Any]:
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ConfigError(file=file, line=1, key="(syntax)", detail="nested too deeply") from error
    except ValueError as error:
        told = re.search(r" \(at (?:line (\d+), column \d+|end of document)\)$", str(error))
        line = int(told[1]) if told and told[1] else text.rstrip().count("\n") + 1
        detail = str(error)[: told.start()] if told else str(error)
        raise ConfigError(
            file=file, line=line, key="(syntax)", detail=detail, advice="The file is TOML 1.0: https://toml.io"
        ) from error


# --- where a mistake is ---

_PROBLEM = re.compile(r"(?s)(?P<detail>.*?)(?: - at (?:`key` in )?`(?P<path>\$[^`]*)`)?")
_SEGMENT = re.compile(r"\[(\d+|\.\.\.)\]|\.([^.\[]+)")
_FIELD = re.compile(r"Object (contains unknown|missing required) field `(.*)`")


def _explain(
    error: msgspec.ValidationError, document: Any, kind: type[Any], prefix: Key, text: str | None, file: str
) -> ConfigError:
    found = _PROBLEM.fullmatch(str(error))
    detail = found["detail"] if found else str(error)
    path = _resolve((found and found["path"]) or "$", document, kind, str(error))
    if "`key` in" in str(error):
        path = (*path, *_wrong_key(document, path, kind, str(error)))
    field = _FIELD.fullmatch(detail)
    advice, place = "", path
    if field and field[1] == "contains unknown":
        detail, path, advice = "unknown key", (*path, field[2]), _nearest(field[2], kind, path)
        place = path
    elif field:
        detail, path = "missing", (*path, field[2])
        advice = "Add this key."
    return ConfigError(
        file=file, line=_line(text, (*prefix, *place)), key=_dotted((*prefix, *path)), detail=detail, advice=advice
    )


def _resolve(told: str, document: Any, kind: type[Any], message: str) -> Key:
    """The path that msgspec tells, with each ``[...]`` (any entry of a table) made the entry that is wrong."""
    path: Key = ()
    node = document
    for number, name in _SEGMENT.findall(told.removeprefix("$")):
        if number == "...":
            key = _culprit(document, path, node, kind, message)
            if key is None:
                return path
        else:
            key = int(number) if number else name
        path = (*path, key)
        node = node[key]
    return path


def _wrong_key(document: Any, path: Key, kind: type[Any], message: str) -> Key:
    """The key of the table at *path* that is wrong itself, if it can be told."""
    node = document
    for step in path:
        node = node[step]
    key = _culprit(document, path, node, kind, message)
    return () if key is None else (key,)


def _culprit(document: Any, path: Key, node: Any, kind: type[Any], message: str) -> str | int | None:
    """The entry of *node* that alone makes the same mistake."""
    for key, value in _entries(node):
        alone = {key: value} if isinstance(node, dict) else [value]
        try:
            _convert(_replaced(document, path, alone), kind)
        except msgspec.ValidationError as error:
            if str(error) == message:
                return key
    return None


def _entries(node: Any) -> Iterator[tuple[str | int, Any]]:
    yield from node.items() if isinstance(node, dict) else enumerate(node)


def _replaced(document: Any, path: Key, value: Any) -> Any:
    if not path:
        return value
    copy = document.copy()
    copy[path[0]] = _replaced(document[path[0]], path[1:], value)
    return copy


def _line(text: str | None, path: Key) -> int:
    """Where *path* stands, or the nearest table around it; 0 when there is no text to look in."""
    if text is None:
        return 0
    lines = key_lines(text)
    while path and path not in lines:
        path = path[:-1]
    return lines.get(path, 1)


def _dotted(path: Key) -> str:
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        else:
            name = step if re.fullmatch(r"[A-Za-z0-9_-]+", step) else f'"{step}"'
            text += f".{name}" if text else name
    return text or "(file)"


def _nearest(name: str, kind: type[Any], path: Key) -> str:
    known = _fields(msgspec.inspect.type_info(kind), path)
    near = difflib.get_close_matches(name, known, n=1, cutoff=0.6)
    if near:
        return f'Did you mean "{near[0]}"?'
    return f"Known keys here: {', '.join(sorted(known))}." if known else ""


def _fields(info: msgspec.inspect.Type, path: Key) -> list[str]:
    """The keys known at *path* of a document of type *info*."""
    if isinstance(info, msgspec.inspect.UnionType):
        return [name for one in info.types for name in _fields(one, path)]
    if not path:
        return [field.encode_name for field in info.fields] if isinstance(info, msgspec.inspect.StructType) else []
    step, rest = path[0], path[1:]
    if isinstance(info, msgspec.inspect.StructType):
        return [name for field in info.fields if field.encode_name == step for name in _fields(field.type, rest)]
    if isinstance(info, msgspec.inspect.DictType):
        return _fields(info.value_type, rest)
    if isinstance(info, msgspec.inspect.ListType | msgspec.inspect.VarTupleType):
        return _fields(info.item_type, rest)
    if isinstance(info, msgspec.inspect.TupleType) and isinstance(step, int) and step < len(info.item_types):
        return _fields(info.item_types[step], rest)
    return []
