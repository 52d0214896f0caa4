# SPDX-License-Identifier: BSD-3-Clause
"""The software bill of materials of an image: SPDX 2.3 (ISO/IEC 5962) in JSON, https://spdx.github.io/spdx-spec/v2.3/."""

from __future__ import annotations

import re
import time
import uuid
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote

import msgspec

from xos.image.images.manifest import Package

NONE = "NOASSERTION"
LICENSES = frozenset(
    {"Apache-2.0", "BSD-2-Clause", "BSD-3-Clause", "GPL-2.0-only", "GPL-2.0-or-later", "GPL-3.0-or-later", "ISC"}
    | {"LGPL-2.1-only", "LGPL-2.1-or-later", "LGPL-3.0-or-later", "MIT", "MPL-2.0", "Zlib"}
)
"""SPDX names that may be taken from an RPM's tag; what other distributions write there often is none."""


def sbom(name: str, digest: str, packages: Sequence[Package], epoch: int) -> bytes:
    """The document for the image file *name* with that SHA-256: the same packages and time, the same bytes."""
    image = {
        "SPDXID": "SPDXRef-Image",
        "name": name,
        "downloadLocation": NONE,
        "filesAnalyzed": False,
        "licenseConcluded": NONE,
        "licenseDeclared": NONE,
        "copyrightText": NONE,
        "primaryPackagePurpose": "OPERATING-SYSTEM",
        "checksums": [{"algorithm": "SHA256", "checksumValue": digest}],
    }
    parts = [_package(package) for package in packages]
    document = {
        "spdxVersion": "SPDX-2.3",
        "dataLicense": "CC0-1.0",
        "SPDXID": "SPDXRef-DOCUMENT",
        "name": name,
        "documentNamespace": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, f'xtreemos:sbom:{name}:{digest}')}",
        "creationInfo": {
            "created": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(epoch)),
            "creators": ["Tool: xos-image"],
        },
        "packages": [image, *parts],
        "relationships": [
            _relationship("SPDXRef-DOCUMENT", "DESCRIBES", "SPDXRef-Image"),
            *(_relationship("SPDXRef-Image", "CONTAINS", part["SPDXID"]) for part in parts),
        ],
    }
    return msgspec.json.format(msgspec.json.encode(document), indent=1) + b"\n"


def _relationship(element: str, kind: str, related: str) -> dict[str, str]:
    return {"spdxElementId": element, "relationshipType": kind, "relatedSpdxElement": related}


def _package(package: Package) -> dict[str, Any]:
    declared = package.license if _is_spdx(package.license) else NONE
    found: dict[str, Any] = {
        "SPDXID": f"SPDXRef-{package.kind}-{_identifier(package)}",
        "name": package.name,
        "versionInfo": package.version,
        "supplier": f"Organization: {package.supplier}" if package.supplier else NONE,
        "downloadLocation": NONE,
        "filesAnalyzed": False,
        "licenseConcluded": NONE,
        "licenseDeclared": declared,
        "copyrightText": NONE,
        "externalRefs": [
            {"referenceCategory": "PACKAGE-MANAGER", "referenceType": "purl", "referenceLocator": purl(package)}
        ],
    }
    if package.source:
        found["sourceInfo"] = f"built from {package.source}"
    if package.license and declared == NONE:
        found["licenseComments"] = f"The package says: {package.license}"
    if re.fullmatch(r"https?://[^\s]+", package.homepage):
        found["homepage"] = package.homepage
    return found


def purl(package: Package) -> str:
    """The package URL, https://github.com/package-url/purl-spec."""
    where = "debian" if package.kind == "deb" else "xtreemos"
    version, epoch = package.version, ""
    if package.kind == "rpm" and ":" in version:
        epoch, version = version.split(":", 1)
    qualifiers = f"arch={quote(package.arch)}" + (f"&epoch={epoch}" if epoch else "")
    return f"pkg:{package.kind}/{where}/{quote(package.name.lower())}@{quote(version, safe='~')}?{qualifiers}"


def _identifier(package: Package) -> str:
    """Letters, digits, dots and hyphens are allowed; two packages never get the same."""
    text = f"{package.name}-{package.version}-{package.arch}"
    return re.sub(r"[^A-Za-z0-9.-]", lambda found: f"-{ord(found.group()):x}-", text)


def _is_spdx(text: str) -> bool:
    """Whether an expression has only names of `LICENSES`."""
    words = re.split(r" (?:AND|OR) ", text)
    return all(word in LICENSES for word in words)
