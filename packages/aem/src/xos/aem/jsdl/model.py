# SPDX-License-Identifier: BSD-3-Clause
"""What a job is: the part of JSDL 1.0 (OGF GFD.136) that XtreemOS understands, checked and ready to use.

A `JobDescription` that came from `parse` or `from_toml` keeps every promise written below, so that its readers
(Job Manager, Execution Manager) check nothing again.
"""

from __future__ import annotations

import enum

import msgspec

from xos.aem.api import Needs

UNITS_MAX = 10_000
"""Most units of one job."""


class Creation(enum.StrEnum):
    """What to do when a staged file exists already (GFD.136 CreationFlag)."""

    OVERWRITE = "overwrite"
    APPEND = "append"
    DONT_OVERWRITE = "dontOverwrite"


class StagedFile(msgspec.Struct, frozen=True):
    """A file that is brought to each unit before it starts, or kept for the user when it has ended."""

    name: str
    """In the unit's working directory: relative, normal form, no ``..``."""
    creation: Creation = Creation.OVERWRITE
    delete: bool = False
    """Delete it when the unit has ended (after staging out)."""
    uri: str = ""
    """Staging in: empty, or the ``file:`` URI from which the *client* read it. Either way the content is the
    `InputFile` of that name in the job order; a node never reads the URI. Staging out: empty, the node keeps
    the file for `ExecutionManager.output` with the file's name as the stream."""


class Limits(msgspec.Struct, frozen=True):
    """Limits of each process of a unit, None is the node's own: setrlimit(2) does what they say."""

    cpu_time: int | None = None
    """Seconds of CPU time (RLIMIT_CPU)."""
    file_size: int | None = None
    """Bytes (RLIMIT_FSIZE)."""
    core_dump: int | None = None
    """Bytes (RLIMIT_CORE)."""
    data_segment: int | None = None
    """Bytes (RLIMIT_DATA)."""
    locked_memory: int | None = None
    """Bytes (RLIMIT_MEMLOCK)."""
    open_files: int | None = None
    """Descriptors (RLIMIT_NOFILE)."""
    stack: int | None = None
    """Bytes (RLIMIT_STACK)."""
    processes: int | None = None
    """Processes of the unit (cgroup ``pids.max``, else RLIMIT_NPROC)."""
    virtual_memory: int | None = None
    """Bytes of address space (RLIMIT_AS)."""


NO_LIMITS = Limits()


class JobDescription(msgspec.Struct, frozen=True, kw_only=True):
    """One job: the same program on `total_resource_count` nodes, one unit on each."""

    executable: str
    """Absolute; or with a ``/``: relative to the working directory, no ``..``; a bare name is looked for in the
    working directory (staged in), then on the node's PATH."""
    arguments: tuple[str, ...] = ()
    """Without the program's own name. No NUL."""
    environment: tuple[tuple[str, str], ...] = ()
    """Names are unique."""
    name: str = ""
    """One printable line; empty when the user gave none."""
    description: str = ""
    annotations: tuple[str, ...] = ()
    projects: tuple[str, ...] = ()
    application: str = ""
    """GFD.136 ApplicationName: for people, it chooses nothing."""
    application_version: str = ""

    input: str = ""
    """A file name as `StagedFile.name`; empty or ``/dev/null``: standard input is empty."""
    output: str = ""
    """A file name as `StagedFile.name`, or ``/dev/null``; empty: a file that the node chooses outside the working
    directory. What it holds can be asked for as the stream ``output`` in every case."""
    error: str = ""
    """As `output`, stream ``error``. The same name as `output` means one file for both."""
    working_directory: str = ""
    """Relative to the unit's own fresh directory, made if missing; empty: that directory itself. Staged files,
    `input`, `output` and `error` are in the working directory."""

    wall_time: int | None = None
    """Seconds that a unit may run, then it is killed; None: no limit but the node's."""
    memory_limit: int | None = None
    """Bytes of memory that all processes of a unit may use together; None: no limit but the node's."""
    limits: Limits = NO_LIMITS

    stage_in: tuple[StagedFile, ...] = ()
    """Names are unique, none lies inside another."""
    stage_out: tuple[StagedFile, ...] = ()
    """Names are unique."""
    reads: tuple[str, ...] = ()
    """Files of volumes, ``xtreemfs://VOLUME/PATH``, that the units are going to read: a hint to have them near."""

    total_resource_count: int = 1
    """Units, 1 to `UNITS_MAX`."""
    cores: int = 1
    """CPUs that each unit needs."""
    memory: int = 0
    """Bytes of memory that each unit needs of a node; 0 is any."""
    architecture: str = ""
    """As ``uname -m`` has it; empty is any."""
    operating_system: str = ""
    """``LINUX`` or empty (any)."""
    candidate_hosts: tuple[str, ...] = ()
    """Names of nodes; empty is any."""

    @property
    def needs(self) -> Needs:
        """What one unit takes of its node."""
        return Needs(self.cores, self.memory, self.architecture, self.candidate_hosts)
