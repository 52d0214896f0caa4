# SPDX-License-Identifier: BSD-3-Clause
"""What ``/Files/`` answers, for OpenAPI."""

from __future__ import annotations

from typing import Any

_FAULT = {
    "description": "What went wrong: 400 no path, 401 no certificate, 403 no right, 404 nothing there, 409 something "
    "else is there, 412 not as If-Match or If-None-Match has it, 416 no such bytes, 503 a server is away, 507 no room",
    "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Fault"}}},
}
_BYTES = {"application/octet-stream": {"schema": {"type": "string", "format": "binary"}}}
_LISTING = {
    "application/json": {
        "schema": {
            "type": "object",
            "properties": {
                "path": {"type": "string"},
                "entries": {"type": "array", "items": {"$ref": "#/components/schemas/Entry"}},
            },
        }
    },
    "text/html": {"schema": {"type": "string"}},
}


def _parameter(name: str, where: str, doc: str) -> dict[str, Any]:
    return {
        "name": name,
        "in": where,
        "required": where == "path",
        "description": doc,
        "schema": {"type": "string"},
    }


_PLACE = [
    _parameter("volume", "path", "Name of the volume."),
    _parameter("path", "path", "From its root, with slashes; a directory's ends with one."),
]
_READ: dict[str, Any] = {
    "tags": ["Files"],
    "parameters": [
        _parameter("Range", "header", "bytes=FIRST-LAST, bytes=FIRST-, bytes=-LENGTH"),
        _parameter("If-None-Match", "header", "An ETag that is known: 304 if it is still that."),
    ],
    "responses": {
        "200": {"description": "The file, or what is in the directory.", "content": _BYTES | _LISTING},
        "206": {"description": "The bytes asked for.", "content": _BYTES},
        "304": {"description": "It has not changed."},
        "308": {"description": "It is a directory: ask with a slash at the end."},
        "default": _FAULT,
    },
}
PATHS: dict[str, Any] = {
    "/Files/": {
        "get": {
            "operationId": "Files.volumes",
            "tags": ["Files"],
            "summary": "The volumes.",
            "responses": {"200": {"description": "Their names.", "content": _LISTING}, "default": _FAULT},
        }
    },
    "/Files/{volume}/{path}": {
        "parameters": _PLACE,
        "get": {"operationId": "Files.get", "summary": "A file's bytes, or what is in a directory.", **_READ},
        "head": {"operationId": "Files.head", "summary": "The headers of that.", **_READ},
        "put": {
            "operationId": "Files.put",
            "tags": ["Files"],
            "summary": "Make a file, or put another in its place, in one step.",
            "requestBody": {"required": True, "content": _BYTES},
            "responses": {
                "201": {"description": "It is new."},
                "204": {"description": "It has taken the place of another."},
                "default": _FAULT,
            },
        },
        "delete": {
            "operationId": "Files.delete",
            "tags": ["Files"],
            "summary": "Take away a file or an empty directory.",
            "responses": {"204": {"description": "It is gone."}, "default": _FAULT},
        },
    },
}
