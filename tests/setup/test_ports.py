# SPDX-License-Identifier: BSD-3-Clause
"""A taken port is named together with its holder, before anything starts."""

import os
import socket

import pytest

from xos.setup.errors import AddressUnusable, PortTaken
from xos.setup.local.ports import check_free


@pytest.mark.parametrize("listen_on", ["127.9.8.7", "0.0.0.0"])
def test_a_taken_port_names_the_process_that_holds_it(listen_on: str) -> None:
    with socket.create_server((listen_on, 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(PortTaken) as caught:
            check_free("127.9.8.7", port)
    assert f"127.9.8.7:{port}" in caught.value.message
    assert f"process {os.getpid()} (" in caught.value.message
    check_free("127.9.8.7", port)


def test_the_same_port_of_another_address_is_free() -> None:
    with socket.create_server(("127.9.8.6", 0)) as holder:
        check_free("127.9.8.7", holder.getsockname()[1])


def test_an_address_that_is_not_this_machines_is_refused() -> None:
    with pytest.raises(AddressUnusable, match="192.0.2.1:6740"):
        check_free("192.0.2.1", 6740)
