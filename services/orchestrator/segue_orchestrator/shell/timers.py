"""Timers: how does a run get woken up when a deadline has come?"""

from typing import Final

from segue_contracts.v1 import subjects
from segue_contracts.v1.events import frame
from segue_contracts.v1.runs import TimerFired
from segue_contracts.v1.topology import TIMER_RELAY, TIMERS
from segue_orchestrator.core.messages import SOURCE
from segue_shared.bus import Bus
from segue_shared.clock import Clock, rfc3339
from segue_shared.delivery import Delivery
from segue_shared.journal import Journal
from segue_shared.pull import Ack, Verdict
from segue_shared.schedules import cancel, schedule

__all__ = ["TIMERS", "TIMER_RELAY", "Timers"]

_LATE_MS: Final = 5_000
"""After this a timer that has not fired is taken for one that never will."""


class Timers:
    """Arms runs' timers, and relays those that fired into the journal."""

    def __init__(self, bus: Bus, clock: Clock) -> None:
        self._bus = bus
        self._clock = clock
        self._armed = Journal(bus, TIMERS)

    async def arm(self, namespace: str, run: str, at_ms: int) -> None:
        """Have a run woken up; a timer is numbered by its deadline, so arming twice is one."""
        await schedule(
            self._bus,
            subjects.timer(namespace, run, at_ms),
            target=subjects.fired(namespace, run, at_ms),
            at_ms=at_ms,
        )

    async def disarm(self, namespace: str, run: str, at_ms: int) -> None:
        """Take a timer back; one that has fired is ignored by the run."""
        await cancel(
            self._bus,
            subjects.timer(namespace, run, at_ms),
            note=subjects.timer_cancelled(namespace, run),
        )

    async def relay(self, delivery: Delivery) -> Verdict:
        """Turn a fired timer into an event of its run, once."""
        await self._wake(subjects.parse_fired(delivery.subject))
        return Ack()

    async def sweep(self) -> int:
        """Wake the runs whose timers should have fired long ago, and return how many timers.

        The broker tries once: what it cannot store then, as on a full disk, it leaves until it is
        started again. Only its own clock tells what is late.
        """
        late_ms, swept = await self._armed.time_ms() - _LATE_MS, 0
        for subject in await self._armed.subjects(subjects.timers()):
            timer = _timer_of(subject)
            if timer is not None and timer.number < late_ms:
                await self._wake(timer)
                await self.disarm(timer.namespace, timer.run, timer.number)
                swept += 1
        return swept

    async def _wake(self, timer: subjects.TimerSubject) -> None:
        subject = subjects.run_event(timer.namespace, timer.run, f"timer.{timer.number}")
        body = TimerFired(deadline_ms=timer.number)
        time = rfc3339(self._clock.now_ms())
        data = frame(body, subject=subject, source=SOURCE, about=timer.run, time=time)
        await self._bus.create(subject, data)


def _timer_of(subject: str) -> subjects.TimerSubject | None:
    """Return the timer of a subject; None for the note of one that was taken back."""
    try:
        return subjects.parse_timer(subject)
    except subjects.SubjectError:
        return None
