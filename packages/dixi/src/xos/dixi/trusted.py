# SPDX-License-Identifier: BSD-3-Clause
"""Networks on which the bytes of files may go unencrypted, since an administrator has said so (``[plain]``)."""

from __future__ import annotations

import dataclasses
import ipaddress

import msgspec

Network = ipaddress.IPv4Network | ipaddress.IPv6Network


class Plain(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """``[plain]``: see `xos.dixi.transports.plaintcp` for what it takes away. Nothing by default."""

    networks: tuple[str, ...] = ()
    """As ``10.1.0.0/24``: where both ends have addresses in these, and both say so, bytes of files go unencrypted."""
    address: str = ""
    """``host:port`` to hear such connections at; empty: this daemon only makes them."""


@dataclasses.dataclass(frozen=True, slots=True)
class Trusted:
    """The networks of a `Plain`."""

    networks: tuple[Network, ...] = ()

    @classmethod
    def of(cls, plain: Plain) -> Trusted:
        """Raises `ValueError` for what is no network, and for a network that is the whole world."""
        found = tuple(ipaddress.ip_network(text) for text in plain.networks)
        if world := next((network for network in found if network.prefixlen == 0), None):
            raise ValueError(f"{world} is everybody")
        return cls(found)

    def __bool__(self) -> bool:
        return bool(self.networks)

    def holds(self, host: str) -> bool:
        """Whether the numeric address *host* is in one of them."""
        if not self.networks:
            return False
        try:
            address = ipaddress.ip_address(host)
        except ValueError:
            return False
        if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
            address = address.ipv4_mapped
        return any(address in network for network in self.networks)
