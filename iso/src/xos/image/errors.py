# SPDX-License-Identifier: BSD-3-Clause
"""What can go wrong when a distribution is built."""

from __future__ import annotations

from xos.common.errors import XosError


class ImageError(XosError):
    """Raised when something cannot be built; root of the room's branch."""

    code = "image.error"


class NotRoot(ImageError):
    """Raised when the builder may not mount; nothing has been started."""

    code = "image.not-root"
    template = "building needs root: a clean root file system is mounted in a name space of its own"
    hint = "Run it as root, or in a virtual machine or container that lets you mount"


class ToolMissing(ImageError):
    """Raised when a program that the builder needs on this machine is not installed."""

    code = "image.tool-missing"
    template = "{program} is not installed here"
    hint = "apt-get install {package}"


class StepFailed(ImageError):
    """Raised when a step of a build ended with an error; what it wrote is in the log."""

    code = "image.step-failed"
    template = "{step} failed (status {status})\n{tail}"
    hint = "The whole of it is in {log}"


class NoNetwork(ImageError):
    """Raised when the Debian packages of a root could not be fetched."""

    code = "image.no-network"
    template = "the Debian packages of the {root} root could not be fetched\n{tail}"
    hint = "Check the network, or name a mirror that can be reached: XOS_MIRROR=URL; the log is {log}"


class PinnedMissing(ImageError):
    """Raised when a source that is pinned by its hash could not be fetched, or is not what the hash says."""

    code = "image.pinned-missing"
    template = "what {file} pins could not be had\n{tail}"
    hint = "Check the network and pip's settings (PIP_INDEX_URL); nothing else is taken in its place. The log is {log}"


class DiskShort(ImageError):
    """Raised when the cache's file system is too full to begin."""

    code = "image.disk-short"
    template = "{path} has {free_mb} MB left; building needs {needed_mb} MB"
    hint = "Make room, or set XOS_CACHE to a directory elsewhere"


class DiskFull(ImageError):
    """Raised when the disk became full while a step worked; what it made is removed, what was finished before stays."""

    code = "image.disk-full"
    template = "{step} failed: the disk became full\n{tail}"
    hint = "Make room, and give the same command again: it goes on from there; the log is {log}"


class WrongMachine(ImageError):
    """Raised when the builder runs on a processor that it does not build for."""

    code = "image.wrong-machine"
    template = "this machine is {machine}; packages and images are built for x86_64 on x86_64"
    hint = "Run it on such a machine, or in a virtual one"


class BadSpec(ImageError):
    """Raised when rpm does not understand a spec, or a spec lacks what the builder needs of it."""

    code = "image.bad-spec"
    template = "{spec}: {detail}"


class SpecCycle(ImageError):
    """Raised when packages need each other in order to be built."""

    code = "image.spec-cycle"
    template = "these packages need each other in order to be built: {names}"


class UnknownPackage(ImageError):
    """Raised when a package is named that has no spec."""

    code = "image.unknown-package"
    template = "there is no spec for {name}"
    hint = "Known: {known}"


class NotTracked(ImageError):
    """Raised when the sources are not a Git checkout, so that neither files nor dates are certain."""

    code = "image.not-tracked"
    template = "{path} is not a Git checkout that we can read: {detail}"
    hint = "Build from a clone; versions and dates of packages come from its history"


class LineTooLong(ImageError):
    """Raised when urpmi could not read a package's metadata: its reader takes lines below 128 KiB."""

    code = "image.line-too-long"
    template = "{package}: its @{what}@ line has {length} bytes, urpmi reads {most}"
    hint = "Split the package"


class BadMedia(ImageError):
    """Raised when urpmi media that are read are not what they should be."""

    code = "image.bad-media"
    template = "{file}: {detail}"


class NothingBuilt(ImageError):
    """Raised when a repository is asked for and there are no RPMs."""

    code = "image.nothing-built"
    template = "there are no RPMs in {path}"
    hint = "make rpms"


class BadKey(ImageError):
    """Raised when the signing key is missing, expired or not usable."""

    code = "image.bad-key"
    template = "the signing key in {path} cannot be used: {detail}"
    hint = 'See "The signing key" in iso/README.md'
