# SPDX-License-Identifier: BSD-3-Clause
"""Completion scripts for bash, zsh and fish.

``python -m xos.dixi.console.scripts SHELL DIRECTORY`` writes one for every installed command: those of ordinary
commands say all there is (shtab makes them of the command line), that of `xconsole` asks it each time, since services
and methods are known only to the grid.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import shtab

from xos.dixi.commands import Command, find, make_parser, names

XCONSOLE = {
    "bash": """\
_xconsole() {
    local IFS=$'\\n'
    COMPREPLY=($(xconsole --complete "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null </dev/null))
}
complete -o default -F _xconsole xconsole
""",
    "zsh": """\
#compdef xconsole
_xconsole() {
    local -a offered
    offered=("${(@f)$(xconsole --complete "${(@)words[2,CURRENT]}" 2>/dev/null </dev/null)}")
    compadd -a offered
}
compdef _xconsole xconsole
""",
    "fish": """\
complete -c xconsole -f -a \
'(set -l w (commandline -opc) (commandline -ct); xconsole --complete $w[2..] 2>/dev/null </dev/null)'
""",
}
FILE = {"bash": "{name}", "zsh": "_{name}", "fish": "{name}.fish"}
"""How each shell wants the file of a command's completion to be called."""
SHTAB = ("bash", "zsh")
"""Shells that shtab 1.7 knows and we use."""


def script(command: Command, shell: str) -> str | None:
    """The completion script of a command; None if this shell gets none."""
    if command.name == "xconsole":
        return XCONSOLE[shell]
    if shell not in SHTAB:
        return None
    return str(shtab.complete(make_parser(command), shell=shell))


def main(argv: Sequence[str]) -> int:
    """Write the scripts; returns the exit status."""
    if len(argv) != 2 or argv[0] not in XCONSOLE:
        sys.stderr.write(f"usage: python -m xos.dixi.console.scripts {{{','.join(XCONSOLE)}}} DIRECTORY\n")
        return 2
    shell, directory = argv[0], Path(argv[1])
    directory.mkdir(parents=True, exist_ok=True)
    for name in names():
        text = script(find(name), shell)
        if text is not None:
            (directory / FILE[shell].format(name=name)).write_text(text, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
