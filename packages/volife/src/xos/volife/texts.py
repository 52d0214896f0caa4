# SPDX-License-Identifier: BSD-3-Clause
"""Pages from templates, in the reader's language. Everything that is filled in is escaped."""

from __future__ import annotations

import datetime
import functools
import gettext
import hashlib
import re
from pathlib import Path

import jinja2
from markupsafe import Markup, escape

from xos.volife import charts

HERE = Path(__file__).parent
DOMAIN = "volife"
SOURCE_LANGUAGE = "en"


class Pages:
    """All templates; one environment per language for which there is a catalogue (``locale/LANG/LC_MESSAGES``)."""

    def __init__(self) -> None:
        self._loader = jinja2.FileSystemLoader(HERE / "templates")
        self._languages = {SOURCE_LANGUAGE, *(path.parent.parent.name for path in HERE.glob("locale/*/*/*.mo"))}
        self.static = {path.name: path.read_bytes() for path in sorted((HERE / "static").iterdir())}
        """What is served under ``/static/``."""

    def language(self, accepted: str) -> str:
        """The language to answer in for an ``Accept-Language`` header (RFC 9110, 12.5.4)."""
        wishes: list[tuple[float, str]] = []
        for part in accepted[:200].split(","):
            name, _, quality = part.strip().partition(";q=")
            with_quality = float(quality) if re.fullmatch(r"[01](\.\d{1,3})?", quality) else 1.0
            wishes.append((with_quality, name.split("-")[0].lower()))
        for _, name in sorted(wishes, key=lambda wish: -wish[0]):
            if name in self._languages:
                return name
        return SOURCE_LANGUAGE

    def render(self, name: str, language: str, /, **data: object) -> str:
        """The page *name* filled with *data*."""
        return self._environment(language).get_template(name).render(language=language, **data)

    def say(self, language: str, text: str, /, **data: object) -> str:
        """One sentence of ours in *language*, filled with *data*; not escaped."""
        return _catalogue(language).gettext(text).format(**data)

    @functools.cache  # noqa: B019 -- lives as long as the process
    def _environment(self, language: str) -> jinja2.Environment:
        made = jinja2.Environment(
            loader=self._loader,
            autoescape=True,
            undefined=jinja2.StrictUndefined,
            trim_blocks=True,
            lstrip_blocks=True,
            extensions=["jinja2.ext.i18n"],
        )
        made.install_gettext_translations(_catalogue(language), newstyle=True)  # type: ignore[attr-defined]
        made.filters.update(moment=moment, day=day, ago=ago, span=span, size=size, prose=prose, count=count)
        made.globals.update(static=self._static_url, charts=charts)
        return made

    def _static_url(self, name: str) -> str:
        return f"/static/{name}?v={hashlib.sha256(self.static[name]).hexdigest()[:12]}"


@functools.cache
def _catalogue(language: str) -> gettext.NullTranslations:
    return gettext.translation(DOMAIN, HERE / "locale", [language], fallback=True)


def moment(seconds: float | None) -> Markup:
    """A time as people read it, and as programs do."""
    if not seconds:
        return Markup("–")
    at = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return Markup('<time datetime="{}">{}</time>').format(
        at.isoformat(timespec="seconds"), at.strftime("%Y-%m-%d %H:%M:%S UTC")
    )


def day(seconds: float | None) -> Markup:
    """The day of a time."""
    if not seconds:
        return Markup("–")
    at = datetime.datetime.fromtimestamp(seconds, datetime.UTC)
    return Markup('<time datetime="{}">{}</time>').format(at.isoformat(timespec="seconds"), at.strftime("%Y-%m-%d"))


def ago(seconds: float | None, now: float) -> str:
    """How long ago, or how long until."""
    if not seconds:
        return "–"
    away = now - seconds
    return f"{span(away)} ago" if away >= 0 else f"in {span(-away)}"


def span(seconds: float | None) -> str:
    """A length of time: two figures are enough."""
    if seconds is None:
        return "–"
    for unit, length in (("d", 86400.0), ("h", 3600.0), ("min", 60.0)):
        if seconds >= length:
            return f"{seconds / length:.1f} {unit}" if seconds < 10 * length else f"{seconds / length:.0f} {unit}"
    return f"{seconds:.0f} s" if seconds >= 10 or seconds == int(seconds) else f"{seconds:.1f} s"


def size(amount: float | None) -> str:
    """Bytes, in powers of 1024."""
    value, units = float(amount or 0), ["B", "KiB", "MiB", "GiB", "TiB"]
    while value >= 1024 and len(units) > 1:
        value /= 1024
        units.pop(0)
    return f"{value:.0f} {units[0]}" if value >= 10 or value == int(value) else f"{value:.1f} {units[0]}"


def count(number: float) -> str:
    """A number with thin spaces between thousands."""
    return f"{number:,.0f}".replace(",", "\N{NARROW NO-BREAK SPACE}")


def prose(text: str) -> Markup:
    """A message of a service: what stands between back-quotes is shown as code."""
    parts = enumerate(re.split(r"`([^`]+)`", text))
    return Markup().join(Markup("<code>{}</code>").format(part) if i % 2 else escape(part) for i, part in parts)
