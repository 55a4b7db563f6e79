"""Late timers: which timers does a sweep leave alone?"""

from segue_contracts.v1 import subjects
from segue_contracts.v1.topology import TIMERS
from segue_orchestrator.shell.timers import Timers
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.journal import Journal

RUN = "run00000000000000000000001"


class HurriedClock(SystemClock):
    """The time, an hour later."""

    def now_ms(self) -> int:
        """Return the time then."""
        return super().now_ms() + 3_600_000


async def test_a_sweep_leaves_timers_alone_that_may_still_fire(bus: Bus) -> None:
    """By the broker's clock, whatever the sweeper's own says; notes of others are no timers."""
    timers, journal = Timers(bus, HurriedClock()), Journal(bus, TIMERS)
    soon_ms = await journal.time_ms() + 600_000
    await timers.arm("default", RUN, soon_ms)
    await timers.arm("default", RUN, soon_ms + 1)
    await timers.disarm("default", RUN, soon_ms + 1)

    assert await timers.sweep() == 0
    assert subjects.timer("default", RUN, soon_ms) in await journal.subjects(subjects.timers())
