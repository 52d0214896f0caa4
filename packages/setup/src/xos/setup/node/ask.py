# SPDX-License-Identifier: BSD-3-Clause
"""What is not answered yet is asked: the guided way to make a machine a node."""

from __future__ import annotations

import socket
from collections.abc import Callable
from typing import Any

import msgspec

from xos.setup.asking import Asking
from xos.setup.errors import SetupError
from xos.setup.node import answers as known
from xos.setup.node import system
from xos.setup.node.answers import Answers, BadAnswer, Client, Core
from xos.vom import word

HOST_NAME = "small letters, digits and -, with dots between its parts"
NAME = "small letters, digits and . _ -, at most 64"
PASSWORD = "8 to 200 characters"  # noqa: S105 -- what one may be
HOST = "a host name or an IP address"
PAGE = "https://, a host, and a port unless it is 443"
FINGERPRINT = "64 digits, 0 to 9 and a to f"


def a(kind: Any, rule: str) -> Callable[[str], object]:
    """A check that an answer is of a *kind* such as `answers.Name`; *rule* says what these are."""

    def check(text: str) -> None:
        try:
            msgspec.convert(text, kind)
        except msgspec.ValidationError as error:
            raise ValueError(f"That will not do: {rule}.") from error

    return check


def sensible(answers: Answers) -> None:
    """Raises `ValueError` for what `answers.check` finds."""
    try:
        known.check(answers, "answers")
    except BadAnswer as error:
        raise ValueError(str(error.data["detail"])) from error


def complete(answers: Answers, asking: Asking) -> Answers:
    """*answers* with what is missing asked for. Raises `NobodyThere`, `NotConfirmed`, `BadAnswer`."""
    match answers.role:
        case "core":
            answers = _core(answers, asking)
        case "resource":
            answers = _resource(answers, asking)
        case "client":
            answers = _client(answers, asking)
        case "web":
            answers = _web(answers, asking)
        case None:
            pass
    return known.check(answers, "answers")


def _core(answers: Answers, asking: Asking) -> Answers:
    text = "The core holds the VO database, issues certificates and gives jobs to the nodes. A grid has one."
    asking.heading("A core node", text)
    name = asking.line("Host name", default=answers.hostname or _own_name(), check=a(known.HostName, HOST_NAME))
    address = asking.line("Address at which other machines reach it", default=_own_address(answers), check=_is_own)
    vo = asking.line("First VO", default=answers.core.vo or "", optional=True, check=a(known.Name, NAME))
    person, password = "", ""
    if vo:
        default = answers.core.administrator or ""
        person = asking.line("Its administrator's name", default=default, optional=True, check=a(known.Name, NAME))
    if person and answers.core.administrator_password is None:
        question = "Their password (without one, one is made up)"
        password = asking.secret(question, optional=True, check=a(known.Password, PASSWORD))
    core = Core(
        vo=vo or None,
        administrator=person or None,
        administrator_password=password or answers.core.administrator_password,
        ca_key=answers.core.ca_key,
        database=answers.core.database,
        nodes=answers.core.nodes,
        pages=answers.core.pages,
    )
    asking.summary([("host name", name), ("address", address), ("VO", vo or "-"), ("administrator", person or "-")])
    asking.confirm("This machine becomes a core.")
    return msgspec.structs.replace(answers, hostname=name, address=address, core=core)


def _resource(answers: Answers, asking: Asking) -> Answers:
    if answers.resource.token is not None or answers.resource.core is not None:
        return answers
    asking.heading("A resource node", "It runs jobs. On the core, as root, say:  xos-node token NAME")
    text = asking.line("The word that it printed", check=word.read)
    given = word.read(text)
    slots = asking.line("Job units at once", default=str(answers.resource.slots or ""), optional=True, check=_count)
    vos = served(asking, answers.resource.vos)
    resource = msgspec.structs.replace(answers.resource, token=text, slots=int(slots) if slots else None, vos=vos)
    rows = [("node", given.node), ("core", given.directory), ("slots", slots or "one for each processor")]
    asking.summary([*rows, ("VOs", ", ".join(vos) or "none yet")])
    asking.confirm("This machine becomes a resource node.")
    return msgspec.structs.replace(answers, resource=resource)


def served(asking: Asking, offered: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The VOs whose users may use the machine."""

    def check(text: str) -> None:
        for name in text.split():
            a(known.Name, NAME)(name)

    question = "VOs whose users may use it, with blanks between"
    return tuple(asking.line(question, default=" ".join(offered), optional=True, check=check).split())


def _client(answers: Answers, asking: Asking) -> Answers:
    if answers.client is not None:
        return answers
    asking.heading("A client", "It has the commands. On the core, `xos-setup show` prints both answers.")
    core = asking.line("Name or address of the core", check=a(known.Host, HOST))
    fingerprint = asking.line("Fingerprint of its CA", check=a(known.Fingerprint, FINGERPRINT))
    return msgspec.structs.replace(answers, client=Client(core=core, ca_fingerprint=fingerprint))


def _web(answers: Answers, asking: Asking) -> Answers:
    if answers.web.token is not None:
        return answers
    asking.heading("The web page", "It joins like any machine. On the core, as root, say:  xos-node token NAME")
    text = asking.line("The word that it printed", check=word.read)
    url = asking.line("What people type", default=answers.web.url or "", optional=True, check=a(known.Page, PAGE))
    asking.summary([("node", word.read(text).node), ("page", url or "made from the address")])
    asking.confirm("This machine shows the web page.")
    return msgspec.structs.replace(answers, web=msgspec.structs.replace(answers.web, token=text, url=url or None))


def _own_name() -> str:
    name = socket.gethostname()
    return name if name != "localhost" else "core"


def _own_address(answers: Answers) -> str:
    if answers.address is not None:
        return answers.address
    try:
        return system.own_address()
    except SetupError:
        return ""


def _is_own(text: str) -> None:
    sensible(Answers(address=text))
    if not system.is_own(text):
        raise ValueError("This machine does not have that address.")


def _count(text: str) -> None:
    if not text.isdecimal() or not 1 <= int(text) <= 1000:
        raise ValueError("A number from 1 to 1000.")
