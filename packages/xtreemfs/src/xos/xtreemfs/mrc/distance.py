# SPDX-License-Identifier: BSD-3-Clause
"""How far machines are from each other, by what their OSDs say of themselves. Pure.

The same machine is nearest, then the same ``site``, then by ``coordinates`` (degrees north and east: ``48.11,-1.68``),
and last who says nothing of it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import msgspec

from xos.xtreemfs.api import Layout, Replica, ServiceRecord, Update

SITE, COORDINATES = "site", "coordinates"
EARTH_KM = 6371.0

Distance = tuple[int, float]
"""Compared: what kind of far, then kilometres."""
SAME_MACHINE, SAME_SITE, ELSEWHERE, UNKNOWN = range(4)


def distance(one: ServiceRecord, other: ServiceRecord) -> Distance:
    """From one machine to another."""
    if one.node == other.node:
        return SAME_MACHINE, 0.0
    mine, its = dict(one.attributes), dict(other.attributes)
    if mine.get(SITE) and mine.get(SITE) == its.get(SITE):
        return SAME_SITE, 0.0
    here, there = _coordinates(mine), _coordinates(its)
    return (UNKNOWN, 0.0) if here is None or there is None else (ELSEWHERE, kilometres(here, there))


def seen_from(client: ServiceRecord, layout: Layout, osds: Mapping[str, ServiceRecord]) -> Layout:
    """The same, for who reads a file that does not change: the nearest replica first."""
    if layout.update is not Update.READ_ONLY or len(layout.replicas) < 2:
        return layout

    def far(replica: Replica) -> Distance:
        return max(distance(client, osds.get(osd, ServiceRecord("OSD", osd))) for osd in replica.osds)

    nearest = tuple(sorted(layout.replicas, key=far))
    primary = nearest.index(layout.replicas[layout.primary])
    return msgspec.structs.replace(layout, replicas=nearest, primary=primary)


def kilometres(here: tuple[float, float], there: tuple[float, float]) -> float:
    """Over the earth's surface, between (north, east) in degrees (haversine)."""
    north, east = (math.radians(a - b) for a, b in zip(here, there, strict=True))
    chord = math.sin(north / 2) ** 2 + (
        math.cos(math.radians(here[0])) * math.cos(math.radians(there[0])) * math.sin(east / 2) ** 2
    )
    return 2 * EARTH_KM * math.asin(math.sqrt(min(1.0, chord)))


def _coordinates(attributes: Mapping[str, str]) -> tuple[float, float] | None:
    north, _, east = attributes.get(COORDINATES, "").partition(",")
    try:
        found = float(north), float(east)
    except ValueError:
        return None
    return found if abs(found[0]) <= 90 and abs(found[1]) <= 360 else None
