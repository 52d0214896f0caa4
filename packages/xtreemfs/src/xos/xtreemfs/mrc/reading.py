# SPDX-License-Identifier: BSD-3-Clause
"""Who reads files that do not change, and where: so that replicas come near to where they are read often, and go again.

Opens are counted in memory; half of a count is forgotten each hour. After a restart counting begins anew, and nothing
goes before it was counted for as long as a replica must be unused.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping

from xos.xtreemfs.api import Layout, ServiceRecord, Update
from xos.xtreemfs.mrc.distance import SAME_SITE, distance, seen_from
from xos.xtreemfs.mrc.replication import Goal

HALF_SECONDS = 3600.0
MOST_FILES, MOST_MACHINES = 20_000, 64
"""Of which it is kept in mind where they are read; of one file, on how many machines."""


class Reads:
    """Of one MRC."""

    def __init__(self, often: float, unused_seconds: float, clock: Callable[[], float]) -> None:
        """*often*: so many opens within an hour, about, make a file one that is read often. *clock*: seconds."""
        self._often, self._unused_seconds, self._clock = often, unused_seconds, clock
        self._since = clock()
        self._files: OrderedDict[int, dict[str, tuple[float, float]]] = OrderedDict()
        """Of each file, by machine: how often, and when last."""

    def note(self, inode: int, node: str, times: float = 1.0) -> bool:
        """A file is read on a machine; whether that is often now. Then counting begins anew."""
        counts = self._files.setdefault(inode, {})
        self._files.move_to_end(inode)
        now = self._clock()
        count, at = counts.get(node, (0.0, now))
        count = count * 0.5 ** ((now - at) / HALF_SECONDS) + times
        often = count > self._often - 0.5  # what was forgotten within minutes counts
        counts[node] = (0.0 if often else count, now)
        if len(counts) > MOST_MACHINES:
            del counts[min(counts, key=lambda one: counts[one][1])]
        if len(self._files) > MOST_FILES:
            self._files.popitem(last=False)
        return often

    def soon(self, inode: int, node: str) -> None:
        """Somebody says that it will be read there: as if it were read often."""
        self.note(inode, node, self._often)

    def unused(self, inode: int, layout: Layout, osds: Mapping[str, ServiceRecord]) -> Goal | None:
        """Without one of the replicas that were made for readers and have had none for long; None: there is none."""
        now = self._clock()
        if layout.wish is not None or not 0 < layout.least < len(layout.replicas):
            return None
        if now - self._since < self._unused_seconds:
            return None
        read = [node for node, (_, at) in self._files.get(inode, {}).items() if now - at < self._unused_seconds]
        used = {
            seen_from(osds[node], layout, osds).replicas[0] for node in read if node in osds
        } | {layout.replicas[layout.primary]}  # fmt: skip
        idle = [replica for replica in layout.replicas[layout.least :] if replica not in used]
        if not idle:
            return None
        return Goal(len(layout.replicas) - 1, layout.update, frozenset(idle[-1].osds))


def is_far(node: str, layout: Layout, osds: Mapping[str, ServiceRecord]) -> bool:
    """Whether a machine with an OSD reads a file that does not change from elsewhere than its own site."""
    client = osds.get(node)
    if client is None or layout.update is not Update.READ_ONLY:
        return False
    return all(
        max(distance(client, osds.get(osd, ServiceRecord("OSD", osd))) for osd in replica.osds)[0] > SAME_SITE
        for replica in layout.replicas
    )
