# SPDX-License-Identifier: BSD-3-Clause
"""The bill of materials of an image is valid SPDX 2.3, says the validator of the SPDX project."""

import subprocess
import sys
from pathlib import Path

from xos.image.images.manifest import Package
from xos.image.images.sbom import sbom

PACKAGES = (
    Package("deb", "libstdc++6", "14.2.0-19", "amd64", "gcc-14 14.2.0-19", "Debian GCC <d@example.org>"),
    Package("deb", "libc6", "2.41-12", "amd64", "glibc 2.41-12", "", "", "https://www.gnu.org/software/libc/libc.html"),
    Package("deb", "libc6", "2.41-12", "i386", "glibc 2.41-12", "", "", "no address"),
    Package("rpm", "xos-core", "0.1.0-1", "noarch", "xos-roles-0.1.0-1.src.rpm", "", "BSD-3-Clause"),
    Package("rpm", "odd_name~1", "2:1^git-1", "x86_64", "", "", "GPLv2+ with exceptions"),
)


def validate(document: Path) -> subprocess.CompletedProcess[str]:
    """0 if it is valid; it tells the version by the document itself."""
    command = [sys.executable, "-m", "spdx_tools.spdx.clitools.pyspdxtools", "--infile", str(document)]
    return subprocess.run(command, capture_output=True, text=True)


def test_a_bill_of_materials_is_valid(tmp_path: Path) -> None:
    document = tmp_path / "it.spdx.json"
    document.write_bytes(sbom("it.iso", "0" * 64, PACKAGES, 1_700_000_000))
    done = validate(document)
    assert (done.returncode, done.stderr) == (0, "")


def test_the_judge_sees_a_mistake(tmp_path: Path) -> None:
    document = tmp_path / "it.spdx.json"
    document.write_bytes(sbom("it.iso", "0" * 64, PACKAGES, 0).replace(b"SPDXRef-Image", b"SPDXRef-Im_age"))
    assert validate(document).returncode != 0
