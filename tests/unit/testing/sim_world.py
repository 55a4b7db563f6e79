"""The simulated world: what do the simulator's tests share?"""

from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from segue_contracts.topology import Consumer
from segue_contracts.v1.topology import PIN_GROUP, RUNS, topology
from segue_shared.bus import Bus
from segue_testing.sim import FaultPlan, SimServer, run_virtual, sim_bus

T = TypeVar("T")

RUN: Final = "segue.v1.default.run.00.run1"
OUT: Final = "segue.v1.default.run.ff.run2"

OWNED: Final = Consumer(
    stream=RUNS,
    name="orchestrator_test",
    filters=(f"{RUN}.>",),
    ack_policy="all",
    max_ack_pending=1000,
    pinned_group=PIN_GROUP,
)
"""A consumer that one client at a time reads."""

TASKS: Final = Consumer(stream=RUNS, name="pool_test", filters=(f"{RUN}.>",), ack_wait_s=30)
"""A consumer that any number of clients share."""


def simulated(
    body: Callable[[SimServer, Bus], Awaitable[T]],
    plan: FaultPlan | None = None,
    *,
    seed: int = 0,
    limit_s: float = 7 * 24 * 3600,
) -> T:
    """Run something on a server with Segue's topology, and return what it returns.

    Args:
        body: What to run; it gets the server and a connection on which nothing goes wrong.
        plan: What goes wrong otherwise.
        seed: Decides what is left to chance.
        limit_s: Virtual seconds after which the run is taken for endless.
    """

    async def main() -> T:
        server = SimServer(plan)
        await server.load(topology(1))
        return await body(server, await sim_bus(server, "test", steady=True))

    return run_virtual(main(), seed=seed, limit_s=limit_s)
