# SPDX-License-Identifier: BSD-3-Clause
"""An image under its name, with what belongs to it, in a directory whose checksums are signed.

xtreemos-core-x86_64.iso             the image
xtreemos-core-x86_64.iso.manifest    its packages
xtreemos-core-x86_64.iso.spdx.json   its bill of materials (SPDX 2.3)
xtreemos-core-x86_64.iso.mtree.gz    its files (mtree)
SHA256SUMS  SHA256SUMS.asc           of all that is there, signed with the repository's key
"""

from __future__ import annotations

import hashlib
from pathlib import Path

from xos.common.files import write_atomically
from xos.image.images.manifest import manifest
from xos.image.images.sbom import sbom
from xos.image.images.tree import Tree
from xos.image.processes import run
from xos.image.repository.keys import Signer
from xos.image.repository.packages import TOOLS
from xos.image.sandbox import Bind, Sandbox

SUMS = "SHA256SUMS"


async def publish(image: Path, digest: str, tree: Tree, file: Path, log: Path) -> dict[str, str]:
    """Put the image and what belongs to it at *file*; their SHA-256 by name. Raises `DiskFull`, `StepFailed`."""
    file.parent.mkdir(parents=True, exist_ok=True)
    draft = file.with_name(f".{file.name}.new")
    try:
        await run(
            ["cp", "--sparse=always", "--reflink=auto", str(image), str(draft)], step=f"copying to {file}", log=log
        )
        draft.rename(file)
    finally:
        draft.unlink(missing_ok=True)
    beside = {
        "manifest": manifest(tree.packages).encode(),
        "spdx.json": sbom(file.name, digest, tree.packages, tree.epoch),
        "mtree.gz": (tree.path / "files.mtree.gz").read_bytes(),
    }
    found = {file.name: digest}
    for suffix, content in beside.items():
        name = f"{file.name}.{suffix}"
        write_atomically(file.with_name(name), content, 0o644)
        found[name] = hashlib.sha256(content).hexdigest()
    return found


def merged(sums: str, made: dict[str, str], directory: Path) -> str:
    """The text of ``SHA256SUMS``: what was made now, and of what it held before that which is still there."""
    before = (line.partition("  ") for line in sums.splitlines())
    kept = {name: digest for digest, _, name in before if name and (directory / name).exists()}
    return "".join(f"{digest}  {name}\n" for name, digest in sorted({**kept, **made}.items()))


async def sign(directory: Path, made: dict[str, str], key: Signer, sandbox: Sandbox, when: int, log: Path) -> None:
    """Bring ``SHA256SUMS`` up to date and sign it, as of *when*, so that the same images give the same signature."""
    sums = directory / SUMS
    text = merged(sums.read_text() if sums.exists() else "", made, directory)
    draft = sandbox.scratch / SUMS
    draft.write_text(text)
    inside = key.inside(sandbox).also(Bind(draft, "/run/file"))
    signed = await inside.run([f"{TOOLS}/sign-file", key.fingerprint, str(when)], step="signing checksums", log=log)
    # The signature first: whoever looks in between sees that it does not fit, and never sums without one.
    write_atomically(directory / f"{SUMS}.asc", signed, 0o644)
    write_atomically(sums, text.encode(), 0o644)
