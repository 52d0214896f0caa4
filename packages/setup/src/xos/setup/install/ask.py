# SPDX-License-Identifier: BSD-3-Clause
"""The guided installation: what the answer file would say is asked."""

from __future__ import annotations

import subprocess
from collections.abc import Sequence

import msgspec

from xos.setup.asking import Asking
from xos.setup.errors import SetupError
from xos.setup.install.disks import Device, choose, described
from xos.setup.install.errors import WrongDisk
from xos.setup.install.medium import Medium
from xos.setup.node import answers as known
from xos.setup.node.answers import Answers, Client, Core, Install, Network, Resource, System
from xos.setup.node.ask import FINGERPRINT, HOST, HOST_NAME, NAME, PASSWORD, a, sensible, served
from xos.vom import word

MEANINGS = {
    "core": "the services of a Virtual Organisation: a grid has one",
    "resource": "runs jobs of a grid",
    "client": "the commands, without any service",
}


def ask(asking: Asking, medium: Medium, disks: Sequence[Device]) -> Answers:
    """All answers; the disk's name is typed before anything is done. Raises `NobodyThere`, `NotConfirmed`."""
    asking.heading(
        "XtreemOS", "This installs XtreemOS on a disk of this machine. Nothing is touched before you confirm."
    )
    disk = _disk(asking, disks)
    asking.heading("What this machine is to be")
    flavour = asking.choice("Flavour", [(f, MEANINGS[f]) for f in medium.flavours], default=medium.own)
    answers = _node(asking, flavour)
    answers = msgspec.structs.replace(
        answers,
        network=_network(asking),
        system=_system(asking),
        install=Install(disk=disk.path, flavour=flavour, then="nothing"),
    )
    network = answers.network
    asking.heading("Ready")
    asking.summary(
        [
            ("disk", f"{disk.path}  {described(disk)}"),
            ("flavour", flavour),
            ("host name", answers.hostname or "-"),
            ("network", network.address if network is not None else "automatic (DHCP)"),
            ("root", "may log in with a password" if answers.system.root_password_hash else "may not log in"),
            ("first boot", f"becomes a {answers.role}" if answers.role else "asks you to run xos-setup"),
        ]
    )
    name = disk.path.removeprefix("/dev/")
    asking.confirm(f"EVERYTHING ON {disk.path} IS LOST.", word=name)
    return known.check(answers, "answers")


def _disk(asking: Asking, disks: Sequence[Device]) -> Device:
    asking.heading("Disk", "All that is on it will be lost.")
    if not disks:
        raise WrongDisk(disk="this machine", detail="it has no disk", known="none")
    rows = [(disk.path, described(disk)) for disk in disks]
    while True:
        name = asking.choice("Disk", rows)
        try:
            return choose(name, disks)
        except SetupError as error:
            asking.tell(error.message)


def _node(asking: Asking, flavour: str) -> Answers:
    """What the first boot makes of it."""
    role = next(role for role in known.ROLES if role == flavour)
    if flavour == "core":
        name = asking.line("Host name", default="core", check=a(known.HostName, HOST_NAME))
        vo = asking.line("First VO", optional=True, check=a(known.Name, NAME))
        person = asking.line("Its administrator's name", optional=True, check=a(known.Name, NAME)) if vo else ""
        password = ""
        if person:
            question = "Their password (without one, one is made up)"
            password = asking.secret(question, optional=True, check=a(known.Password, PASSWORD))
        core = Core(vo=vo or None, administrator=person or None, administrator_password=password or None)
        return Answers(role=role, hostname=name, core=core)
    if flavour == "resource":
        text = asking.line("Join word (on the core: xos-node token NAME)", optional=True, check=word.read)
        if text:
            return Answers(role=role, resource=Resource(token=text, vos=served(asking)))
    else:
        host = asking.line("Name or address of the core", optional=True, check=a(known.Host, HOST))
        if host:
            fingerprint = asking.line(
                "Fingerprint of its CA (on the core: xos-setup show)", check=a(known.Fingerprint, FINGERPRINT)
            )
            name = asking.line("Host name", default="client", check=a(known.HostName, HOST_NAME))
            return Answers(role=role, hostname=name, client=Client(core=host, ca_fingerprint=fingerprint))
    return Answers(hostname=asking.line("Host name", default=flavour, check=a(known.HostName, HOST_NAME)))


def _network(asking: Asking) -> Network | None:
    asking.heading("Network", "With DHCP nothing need be answered here.")

    def check(text: str) -> None:
        sensible(Answers(network=Network(address=text)))

    def address(text: str) -> None:
        sensible(Answers(address=text))

    given = asking.line("Fixed address, such as 10.0.0.2/24", optional=True, check=check)
    if not given:
        return None
    gateway = asking.line("Gateway", optional=True, check=address)
    dns = asking.line("Name server", optional=True, check=address)
    return Network(address=given, gateway=gateway, dns=(dns,) if dns else ())


def _system(asking: Asking) -> System:
    asking.heading("Administrator", "Without a password, root cannot log in.")
    password = asking.secret("Password of root", optional=True, check=a(known.Password, PASSWORD))
    return System(root_password_hash=hashed(password)) if password else System()


def hashed(password: str) -> str:
    """The password as shadow(5) has it."""
    command = ["openssl", "passwd", "-6", "-stdin"]
    return subprocess.run(command, input=f"{password}\n", check=True, capture_output=True, text=True).stdout.strip()
