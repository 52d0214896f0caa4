# SPDX-License-Identifier: BSD-3-Clause
"""The OpenAPI 3.1 description of what a gateway offers."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import msgspec

from xos.common.errors import Fault
from xos.dixi.dispatch import Method
from xos.dixi.named import twin
from xos.dixi.pages import Pages

RAW = "application/octet-stream"
_BYTES = {"schema": {"type": "string", "format": "binary"}}
_REF = "#/components/schemas/{name}"


def openapi(methods: Iterable[Method], pages: Iterable[Pages] = (), *, title: str, version: str) -> dict[str, Any]:
    """The document for *methods*, and for what *pages* answer by themselves, as JSON values."""
    methods = list(methods)
    kinds: list[Any] = [twin(Fault)]
    for method in methods:
        kinds += [method.named, twin(method.signature.result)]
    schemas, components = msgspec.json.schema_components(kinds, ref_template=_REF)
    paths: dict[str, Any] = {}
    for index, method in enumerate(methods):
        arguments, result = schemas[1 + 2 * index], schemas[2 + 2 * index]
        paths[f"/{method.service}/{method.signature.name}"] = _path(method, arguments, result)
    for each in pages:
        paths |= each.paths
    return {
        "openapi": "3.1.0",
        "info": {"title": title, "version": version},
        "paths": paths,
        "components": {
            "schemas": components,
            "securitySchemes": {"certificate": {"type": "mutualTLS", "description": "An XOS-Certificate"}},
        },
        "security": [{"certificate": []}],
    }


def _path(method: Method, arguments: Any, result: Any) -> dict[str, Any]:
    summary, _, description = method.signature.doc.partition("\n")
    answer: dict[str, Any] = {
        "description": "One JSON value a line, as they come." if method.streams else "The result.",
        "content": {("application/x-ndjson" if method.streams else "application/json"): {"schema": result}},
    }
    fault = {
        "description": "What went wrong",
        "content": {"application/json": {"schema": {"$ref": _REF.format(name="Fault")}}},
    }
    if method.signature.result is bytes:
        answer["content"][RAW] = _BYTES
    operation = {
        "summary": summary,
        "description": description.strip(),
        "tags": [method.service],
        "responses": {"200": answer, "default": fault},
    }
    body: dict[str, Any] = {"required": False, "content": {"application/json": {"schema": arguments}}}
    if any(method.signature.types[parameter.name] is bytes for parameter in method.signature.parameters):
        body["content"][RAW] = _BYTES
    path: dict[str, Any] = {"post": {"operationId": method.name, **operation, "requestBody": body}}
    if method.signature.marks.reads:
        path["get"] = {"operationId": f"{method.name}.get", **operation, "parameters": _query(method)}
    return path


def _query(method: Method) -> list[dict[str, Any]]:
    rows = []
    for parameter in method.signature.parameters:
        kind = method.signature.types[parameter.name]
        if kind in (str, int, float, bool, bytes):
            (schema,), _ = msgspec.json.schema_components([kind])
            required = parameter.default is parameter.empty
            rows.append({"name": parameter.name, "in": "query", "required": required, "schema": schema})
    return rows
