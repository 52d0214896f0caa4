# SPDX-License-Identifier: BSD-3-Clause
"""What can be wrong with a job description; each error says where."""

from __future__ import annotations

from typing import Self

from xos.aem.errors import JsdlError

_PREFIX = "JobDefinition/JobDescription/"


class DescriptionError(JsdlError):
    """Raised when a job description is wrong; `data` has ``path`` (of the element, key or option) and ``line``."""

    code = "aem.jsdl-invalid"
    template = "{at}{detail}"

    def __init__(self, detail: str, *, path: str = "", line: int | None = None) -> None:
        parts = [f"line {line}"] if line is not None else []
        if path:
            parts.append(path.removeprefix(_PREFIX))
        at = ", ".join(parts) + ": " if parts else ""
        super().__init__(detail=detail, path=path, line=line, at=at)

    def located(self, path: str, line: int | None) -> Self:
        """The same error, with its place."""
        return type(self)(str(self.data["detail"]), path=path, line=line)


class DocumentTooLarge(DescriptionError):
    """Raised when a document is larger than a job description may be; it was not looked at."""

    code = "aem.jsdl-too-large"
    hint = "Large input belongs into files that are staged in, not into arguments."
    http_status = 413


class NotWellFormed(DescriptionError):
    """Raised when a document is not XML (or TOML) at all."""

    code = "aem.jsdl-malformed"


class Forbidden(DescriptionError):
    """Raised for XML that a job description never needs: DTDs, entities, processing instructions, other encodings."""

    code = "aem.jsdl-forbidden"
    hint = "A job description is plain UTF-8 XML: elements, attributes, text and comments."


class UnknownElement(DescriptionError):
    """Raised for an element (or TOML key) that does not exist."""

    code = "aem.jsdl-unknown-element"


class UnknownAttribute(DescriptionError):
    """Raised for an attribute that its element does not have."""

    code = "aem.jsdl-unknown-attribute"


class OutOfPlace(DescriptionError):
    """Raised for an element that is not where the JSDL schema has it, or for text between elements."""

    code = "aem.jsdl-out-of-place"


class Repeated(DescriptionError):
    """Raised for something that may be there once and is there twice."""

    code = "aem.jsdl-repeated"


class Missing(DescriptionError):
    """Raised when something that must be there is not."""

    code = "aem.jsdl-missing"


class BadValue(DescriptionError):
    """Raised for a value that is not of its type or outside its bounds."""

    code = "aem.jsdl-bad-value"


class BadPath(BadValue):
    """Raised for a file name that would leave the unit's working directory."""

    code = "aem.jsdl-bad-path"
    hint = "Files of a job are named relative to its working directory, without “..”."


class Unsupported(DescriptionError):
    """Raised for what JSDL 1.0 allows and XtreemOS does not do yet: better refused than ignored."""

    code = "aem.jsdl-unsupported"
    http_status = 501

    def __init__(self, detail: str, *, path: str = "", line: int | None = None) -> None:
        said = detail if detail.startswith(_NOT_YET) else _NOT_YET + detail
        super().__init__(said, path=path, line=line)


_NOT_YET = "not supported yet: "
