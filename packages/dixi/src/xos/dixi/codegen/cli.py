# SPDX-License-Identifier: BSD-3-Clause
"""``dixi-gen``: writes what is made from service descriptions, or checks that it is up to date."""

from __future__ import annotations

import argparse
import difflib
import importlib
import sys
import tomllib
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import msgspec

from xos.common.errors import XosError
from xos.dixi.codegen import console, python, reference
from xos.dixi.describe import describe, services_in
from xos.dixi.description import ServiceDescription
from xos.dixi.errors import BadService


class Plan(msgspec.Struct, frozen=True, kw_only=True):
    """``[tool.dixi-gen]`` of a `pyproject.toml`."""

    modules: tuple[str, ...] = ()
    """Modules that define service interfaces; clients are written beside each."""
    reference: str | None = None
    """Directory for reference pages, relative to the `pyproject.toml`."""


def outputs(modules: Iterable[str], pages: Path | None) -> dict[Path, str]:
    """Path and text of every file to be made from *modules*. Raises `BadService`, `ModuleNotFoundError`."""
    files: dict[Path, str] = {}
    listed: list[ServiceDescription] = []
    for name in modules:
        module = importlib.import_module(name)
        services = [describe(cls) for cls in services_in(module)]
        if not services or module.__file__ is None:
            raise BadService(service=name, detail="the module defines no class under @service")
        # Beside the module, also when that is a package of several.
        home = Path(module.__file__).parents[1 if hasattr(module, "__path__") else 0]
        files[home / "xati.py"] = python.render(services)
        files[home / "console.json"] = console.render(services)
        listed += services
    if pages is not None:
        files |= {pages / f"{s.name}.md": reference.render(s) for s in listed}
        files[pages / "README.md"] = reference.render_index(listed)
    return files


def stale(files: Mapping[Path, str]) -> list[str]:
    """A unified diff for each file that is not on disk as it should be."""
    diffs = []
    for path, text in files.items():
        there = path.read_text(encoding="utf-8") if path.exists() else ""
        if there != text:
            lines = difflib.unified_diff(there.splitlines(True), text.splitlines(True), str(path), f"{path} (as made)")
            diffs.append("".join(lines))
    return diffs


def write(files: Mapping[Path, str]) -> list[Path]:
    """Write the files that differ from what is on disk; returns those."""
    changed = []
    for path, text in files.items():
        if not path.exists() or path.read_text(encoding="utf-8") != text:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
            changed.append(path)
    return changed


def find_plan(start: Path) -> tuple[Plan, Path]:
    """The nearest ``[tool.dixi-gen]`` at or above *start*, and the directory it stands in."""
    for directory in (start, *start.parents):
        project = directory / "pyproject.toml"
        if project.is_file():
            tables = tomllib.loads(project.read_text(encoding="utf-8")).get("tool", {})
            if "dixi-gen" in tables:
                return msgspec.convert(tables["dixi-gen"], Plan), directory
    return Plan(), start


def parser() -> argparse.ArgumentParser:
    """The command line of ``dixi-gen``."""
    p = argparse.ArgumentParser(prog="dixi-gen", description="Make XATI clients, console data and reference pages.")
    p.add_argument(
        "modules", nargs="*", metavar="MODULE", help="modules with services (default: those of [tool.dixi-gen])"
    )
    p.add_argument("--reference", type=Path, metavar="DIR", help="where reference pages go")
    p.add_argument("--check", action="store_true", help="write nothing; fail with a diff if a file is not up to date")
    return p


def main(argv: Sequence[str] | None = None) -> int:
    """Exit status: 0 all is well, 1 something is stale (``--check``) or cannot be described, 2 wrong usage."""
    args = parser().parse_args(argv)
    plan, home = find_plan(Path.cwd())
    modules = args.modules or plan.modules
    if not modules:
        parser().error("no MODULE given and no [tool.dixi-gen] in a pyproject.toml here or above")
    pages: Path | None = args.reference
    if pages is None and plan.reference is not None and not args.modules:
        pages = home / plan.reference
    try:
        files = outputs(modules, pages)
    except (XosError, ModuleNotFoundError) as error:
        print(f"dixi-gen: {error}", file=sys.stderr)
        return 1
    if not args.check:
        print(*(f"wrote {path}" for path in write(files)), sep="\n", end="\n" if files else "")
        return 0
    diffs = stale(files)
    sys.stdout.writelines(diffs)
    if diffs:
        print(f"dixi-gen: {len(diffs)} file(s) not up to date; run dixi-gen", file=sys.stderr)
    return 1 if diffs else 0
