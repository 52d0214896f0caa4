# SPDX-License-Identifier: BSD-3-Clause
"""The peers of look-ups: glibc's own files, libnss-extrausers, and the mapped cache of sssd."""

from __future__ import annotations

from pathlib import Path

from bench import names
from bench.model import CannotRun, Measure
from bench.resources import Resources


def files(resources: Resources, *, what: str, users: int, count: int) -> Measure:
    """``passwd: files``."""

    def furnish(place: Path, many: int, _: Resources) -> str:
        (place / "passwd").write_text(names.passwd(many))
        (place / "group").write_text(names.group(many))
        return "files"

    return names.measure(resources, side="files", furnish=furnish, what=what, users=users, count=count)


def extrausers(resources: Resources, *, what: str, users: int, count: int) -> Measure:
    """``passwd: extrausers``."""
    places = [Path("/usr/lib"), *Path("/usr/lib").glob("*-linux-gnu*")]
    if (
        not any((place / "libnss_extrausers.so.2").exists() for place in places)
        or not Path("/var/lib/extrausers").is_dir()
    ):
        raise CannotRun("libnss-extrausers is not installed: tests/bench/install-peers extrausers")

    def furnish(place: Path, many: int, _: Resources) -> str:
        (place / "extrausers").mkdir()
        (place / "extrausers" / "passwd").write_text(names.passwd(many))
        (place / "extrausers" / "group").write_text(names.group(many))
        return "extrausers"

    return names.measure(resources, side="extrausers", furnish=furnish, what=what, users=users, count=count)


SSSD = """[sssd]
services = nss
domains = bench

[nss]
memcache_timeout = 36000
memcache_size_passwd = 64

[domain/bench]
id_provider = proxy
proxy_lib_name = extrausers
proxy_pam_target = none
auth_provider = none
entry_cache_timeout = 36000
min_id = 1000
"""


def sssd(resources: Resources, *, what: str, users: int, count: int) -> Measure:
    """``passwd: sss``: a real sssd, whose mapped cache holds every user before anything is timed."""
    for need in ("/usr/sbin/sssd", "/usr/lib/libnss_extrausers.so.2"):
        if not Path(need).exists():
            raise CannotRun(f"{need} is not there: tests/bench/install-peers extrausers sssd")

    def furnish(place: Path, many: int, _: Resources) -> str:
        (place / "extrausers").mkdir()
        (place / "extrausers" / "passwd").write_text(names.passwd(many))
        (place / "extrausers" / "group").write_text(names.group(many))
        conf = place / "sssd.conf"
        conf.write_text(SSSD)
        conf.chmod(0o600)
        return "sss"

    return names.measure(resources, side="sssd", furnish=furnish, what=what, users=users, count=count)
