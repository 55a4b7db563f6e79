"""The connection: how does a service's bus reach the simulated server?"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, cast

from nats.aio.client import Client

from segue_shared.bus import Bus
from segue_testing.sim.client import SimClient

if TYPE_CHECKING:
    from segue_testing.sim.server import SimServer


async def sim_bus(
    server: "SimServer",
    name: str,
    *,
    steady: bool = False,
    on_crash: Callable[[], None] | None = None,
    on_client: Callable[[SimClient], object] = lambda _: None,
) -> Bus:
    """Connect a real bus to a simulated server.

    Args:
        server: Where to.
        name: Who, as traces show it.
        steady: Whether nothing ever goes wrong on it.
        on_crash: Ends the process that the connection belongs to.
        on_client: Gets every client before it is used.
    """
    bus = Bus()
    client = SimClient(server, name, steady=steady, on_crash=on_crash)
    on_client(client)
    bus.client = cast("Client", client)  # type: ignore[misc] # the bus makes its own client
    again = partial(sim_bus, server, name, steady=steady, on_crash=on_crash, on_client=on_client)
    bus._again = again  # noqa: SLF001 - as Bus.connect does
    await bus._open("simulated", name=name)  # noqa: SLF001 - as Bus.connect does
    return bus
