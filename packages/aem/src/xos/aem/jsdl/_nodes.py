# SPDX-License-Identifier: BSD-3-Clause
"""From bytes to checked XML elements, with bounds and in one pass: nothing is kept that the schema does not know."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, NoReturn
from xml.parsers import expat

from xos.aem.jsdl._schema import EVERYWHERE, JSDL, POSIX, ROOT, SEPARATOR, SPACES, XOS, Element
from xos.aem.jsdl.check import DOCUMENT_MAX, SPACE
from xos.aem.jsdl.errors import (
    BadValue,
    DescriptionError,
    DocumentTooLarge,
    Forbidden,
    Missing,
    NotWellFormed,
    OutOfPlace,
    Repeated,
    UnknownAttribute,
    UnknownElement,
    Unsupported,
)

_ENCODINGS = frozenset({"utf-8", "utf8", "us-ascii", "ascii"})


class Place(NamedTuple):
    """Where an element is; it knows what is above it but not what is below, so that no cycle keeps a document."""

    element: Element
    number: int
    """Which of its like-named siblings it is, from 0."""
    above: Place | None

    @property
    def path(self) -> str:
        """As ``JobDefinition/…/Argument[2]``."""
        own = self.element.name + (f"[{self.number + 1}]" if self.element.most > 1 else "")
        return own if self.above is None else f"{self.above.path}/{own}"


class Node:
    """One element of the document."""

    __slots__ = ("attributes", "children", "element", "last", "line", "text", "where")

    def __init__(self, where: Place, line: int, attributes: dict[str, str]) -> None:
        self.element = where.element
        self.where = where
        self.line = line
        self.attributes = attributes
        self.text = ""
        self.children: dict[str, list[Node]] = {}
        self.last = 0
        """Place in the schema's order of its latest child."""

    def one(self, name: str) -> Node | None:
        """The child of that name, if there is one."""
        found = self.children.get(name)
        return found[0] if found else None

    def all(self, name: str) -> Sequence[Node]:
        """The children of that name, in document order."""
        return self.children.get(name, ())

    @property
    def path(self) -> str:
        """As ``JobDefinition/…/Argument[2]``."""
        return self.where.path

    def place(self, error: DescriptionError) -> DescriptionError:
        """*error*, located here."""
        return error.located(self.path, self.line)


def read(document: bytes) -> Node:
    """The root element of *document*, every element in it known and in its place."""
    if len(document) > DOCUMENT_MAX:
        raise DocumentTooLarge(f"{len(document)} bytes, {DOCUMENT_MAX} are allowed")
    if document.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise Forbidden("the encoding is UTF-16; use UTF-8", line=1)
    if (nul := document.find(b"\0")) >= 0:
        raise BadValue("a NUL byte", line=document.count(b"\n", 0, nul) + 1)
    return _Reader().read(document)


class _Reader:
    def __init__(self) -> None:
        self.parser = parser = expat.ParserCreate("UTF-8", namespace_separator=SEPARATOR)
        parser.buffer_text = True
        parser.XmlDeclHandler = self._declaration
        parser.StartDoctypeDeclHandler = self._doctype
        parser.EntityDeclHandler = self._entity
        parser.ProcessingInstructionHandler = self._instruction
        parser.StartElementHandler = self._start
        parser.EndElementHandler = self._end
        parser.CharacterDataHandler = self._characters
        self.open: list[Node] = []
        self.root: Node | None = None

    def read(self, document: bytes) -> Node:
        try:
            self.parser.Parse(document, True)
        except expat.ExpatError as e:
            raise self._malformed(e) from None
        finally:
            self._let_go()
        assert self.root is not None  # noqa: S101 - expat accepts no document without a root
        return self.root

    def _let_go(self) -> None:
        """Break the cycle between parser and handlers, so that a document is freed at once."""
        parser = self.parser
        parser.XmlDeclHandler = parser.StartDoctypeDeclHandler = parser.EntityDeclHandler = None
        parser.ProcessingInstructionHandler = parser.StartElementHandler = None
        parser.EndElementHandler = parser.CharacterDataHandler = None

    def _malformed(self, error: expat.ExpatError) -> DescriptionError:
        path = self.open[-1].path if self.open else ""
        reason = expat.ErrorString(error.code) or "not well-formed"
        if reason == expat.errors.XML_ERROR_UNDEFINED_ENTITY:
            return Forbidden("an entity other than XML's own five", path=path, line=error.lineno)
        return NotWellFormed(f"not well-formed XML: {reason}", path=path, line=error.lineno)

    def _declaration(self, _version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() not in _ENCODINGS:
            raise Forbidden(f"the encoding is {encoding[:40]}; use UTF-8", line=1)

    def _doctype(self, *_: object) -> None:
        raise Forbidden("a document type declaration (DTD)", line=self.parser.CurrentLineNumber)

    def _entity(self, *_: object) -> None:
        raise Forbidden("an entity declaration", line=self.parser.CurrentLineNumber)

    def _instruction(self, target: str, _data: str) -> None:
        raise Forbidden(f"a processing instruction (“{target[:40]}”)", line=self.parser.CurrentLineNumber)

    def _start(self, name: str, attributes: dict[str, str]) -> None:
        line = self.parser.CurrentLineNumber
        if self.open:
            node = _child(self.open[-1], name, line, attributes)
        elif name == ROOT.expanded:
            node = self.root = Node(Place(ROOT, 0, None), line, attributes)
        else:
            raise UnknownElement(f"the root element is {_shown(name)}, not JSDL 1.0's JobDefinition", line=line)
        self.open.append(node)
        if attributes:
            _check_attributes(node)

    def _end(self, _name: str) -> None:
        self.open.pop()

    def _characters(self, data: str) -> None:
        node = self.open[-1]
        if node.element.text:
            node.text += data
        elif data.strip(SPACE):
            raise OutOfPlace(
                f"text “{data.strip(SPACE)[:40]}” where only elements belong",
                path=node.path,
                line=self.parser.CurrentLineNumber,
            )


def _child(parent: Node, name: str, line: int, attributes: dict[str, str]) -> Node:
    element = parent.element.children.get(name)
    if element is None:
        _stranger(name, parent, line)
    siblings = parent.children.setdefault(element.name, [])
    node = Node(Place(element, len(siblings), parent.where), line, attributes)
    if element.order < parent.last:
        later = next(e.name for e in parent.element.children.values() if e.order == parent.last)
        raise node.place(OutOfPlace(f"must come before {later}"))
    if len(siblings) >= element.most:
        raise node.place(Repeated("is there already") if element.most == 1 else BadValue(f"more than {element.most}"))
    if element.unsupported:
        raise node.place(Unsupported(element.unsupported))
    parent.last = element.order
    siblings.append(node)
    return node


def _stranger(name: str, parent: Node, line: int) -> NoReturn:
    """Say what is wrong with an element that *parent* does not know."""
    space, _, local = name.rpartition(SEPARATOR)
    path = f"{parent.path}/{_shown(name)}"
    if space in (JSDL, POSIX, XOS):
        if parent.element.text:
            raise OutOfPlace("an element inside text", path=path, line=line)
        if (home := _home(name)) is not None:
            raise OutOfPlace(f"belongs into {home}", path=path, line=line)
        if (known := next((e for e in parent.element.children.values() if e.name == local), None)) is not None:
            raise UnknownElement(f"is in the wrong name space; it belongs to {known.space}", path=path, line=line)
        raise UnknownElement("no such element in JSDL 1.0", path=path, line=line)
    if not space:
        raise UnknownElement(f"has no name space; JSDL's is {JSDL}", path=path, line=line)
    raise Unsupported("an extension that XtreemOS does not know", path=path, line=line)


def _home(name: str, inside: Element = ROOT) -> str | None:
    if name in inside.children:
        return inside.name
    return next((home for e in inside.children.values() if (home := _home(name, e)) is not None), None)


def _check_attributes(node: Node) -> None:
    for name, value in node.attributes.items():
        if name in EVERYWHERE:
            continue
        if name not in node.element.attributes:
            if SEPARATOR in name:
                raise node.place(Unsupported(f"the attribute {_shown(name)}"))
            known = ", ".join(sorted(node.element.attributes)) or "none"
            raise node.place(UnknownAttribute(f"no attribute “{name[:80]}” (there is: {known})"))
        if name == "filesystemName":
            raise node.place(Unsupported("filesystemName: every file of a job is in its unit's working directory"))
        if name in ("id", "name") and not value.strip(SPACE):
            raise node.place(Missing(f"the attribute {name} is empty"))


def _shown(name: str) -> str:
    space, _, local = name.rpartition(SEPARATOR)
    prefix = SPACES.get(space)
    if prefix is None:
        prefix = f"{{{space[:80]}}}" if space else ""
    return prefix + local[:80]
