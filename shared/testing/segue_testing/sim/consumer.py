"""The consumer: what does a durable pull consumer hand out, to whom, and how often?"""

import asyncio
from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

from segue_testing.sim.patterns import any_of
from segue_testing.sim.waiting import Waiter, WaitingRoom

if TYPE_CHECKING:
    from segue_testing.sim.server import SimServer
    from segue_testing.sim.stream import Held, SimStream

_NANO: Final = 1_000_000_000


@dataclass(slots=True)
class Unsettled:
    """A message that was handed out and not settled."""

    number: int
    """Which delivery of the consumer it was at first."""
    due_s: float
    """When it is handed out again, on the server's clock."""


class SimConsumer:
    """One durable pull consumer."""

    def __init__(self, stream: "SimStream", config: dict[str, Any]) -> None:
        self.stream = stream
        self.server: Final[SimServer] = stream.server
        self.config = config
        self.waiting = WaitingRoom(self, config)
        self._unsettled: dict[int, Unsettled] = {}
        self._again: deque[int] = deque()
        self._counts: Counter[int] = Counter()
        self._number = 0
        self._alarm: asyncio.TimerHandle | None = None
        first: int = config.get("opt_start_seq", 1)
        start = stream.last_seq if config.get("deliver_policy") == "new" else first - 1
        self._delivered: int = start
        self._floor: tuple[int, int] = (0, start)
        self._fresh: deque[int] = deque()
        self.update(config)

    def update(self, config: dict[str, Any]) -> None:
        """Take another configuration; it counts for what was not handed out yet."""
        self.config = config
        single = config.get("filter_subject", "")
        self._wanted = any_of(tuple(config.get("filter_subjects") or ([single] if single else ())))
        self._ack_wait_s = config.get("ack_wait", 30 * _NANO) / _NANO
        self._most = config.get("max_ack_pending", -1)
        self._read_on()

    def offer(self, held: "Held") -> None:
        """Hear of a message that was stored."""
        if self._wanted(held.subject):
            self._fresh.append(held.sequence)
            self.pump()

    def forget(self, sequence: int) -> None:
        """Hear that a message is gone."""
        if sequence in self._unsettled:
            self._settle(sequence)
        elif sequence in self._fresh:
            self._fresh.remove(sequence)

    def pull(self, reply: str, body: bytes) -> None:
        """Take a pull request."""
        self.waiting.enter(reply, body)
        self.pump()
        self.waiting.dismiss_hasty()

    def unpin(self) -> None:
        """Let another client be pinned."""
        self.waiting.unpin()
        self.pump()

    def reset(self) -> int:
        """Begin again after what is settled, and return the first sequence that may come."""
        start = self._floor[1]
        self._unsettled.clear()
        self._again.clear()
        self._counts.clear()
        self._number = 0
        self._delivered = start
        self._floor = (0, start)
        self._read_on()
        self.pump()
        return start + 1

    def close(self) -> None:
        """End: the consumer was deleted."""
        self.waiting.close()
        self._unsettled.clear()
        self._again.clear()
        self._fresh.clear()

    def info(self) -> dict[str, Any]:
        """Return what the server tells of a consumer."""
        group = {"group": next(iter(self.waiting.groups), "")}
        if self.waiting.pin:
            group["pinned_client_id"] = self.waiting.pin
        return {
            "stream_name": self.stream.name,
            "name": self.config["durable_name"],
            "config": self.config,
            "delivered": {"consumer_seq": self._number, "stream_seq": self._delivered},
            "ack_floor": {"consumer_seq": self._floor[0], "stream_seq": self._floor[1]},
            "num_ack_pending": len(self._unsettled),
            "num_redelivered": sum(count > 1 for count in self._counts.values()),
            "num_waiting": len(self.waiting),
            "num_pending": len(self._fresh),
            **({"priority_groups": [group]} if self.waiting.groups else {}),
        }

    def pump(self) -> None:
        """Hand out what can be handed out."""
        self.stream.sweep()
        while self._has_next():
            if self.waiting.pin and self.server.faults.hits("pin_moved"):
                self.waiting.unpin()
            waiter = self.waiting.next()
            if waiter is None:
                return
            self._deliver(self._take(), waiter)

    def settle(self, sequence: int, body: bytes) -> bool:
        """Hear what a client says of a delivery; False for one from before a reset."""
        if sequence > self._delivered:
            return False
        word, _, detail = body.partition(b" ")
        match word:
            case b"" | b"+ACK" | b"+TERM":
                self._ack(sequence)
            case b"-NAK" if sequence in self._unsettled:
                self._nak(sequence, detail)
            case b"+WPI" if sequence in self._unsettled:
                self._unsettled[sequence].due_s = self.server.clock_s + self._ack_wait_s
        self.pump()
        return True

    def _read_on(self) -> None:
        """Find what is still to be handed out."""
        found = (held for held in self.stream.messages.values() if held.sequence > self._delivered)
        self._fresh = deque(held.sequence for held in found if self._wanted(held.subject))

    def _has_next(self) -> bool:
        if self._again:
            return True
        return bool(self._fresh) and not 0 < self._most <= len(self._unsettled)

    def _take(self) -> int:
        if self._again:
            return self._again.popleft()
        self._delivered = self._fresh.popleft()
        return self._delivered

    def _deliver(self, sequence: int, waiter: Waiter) -> None:
        held = self.stream.messages[sequence]
        self._number += 1
        self._counts[sequence] += 1
        due_s = self.server.clock_s + self._ack_wait_s
        known = self._unsettled.setdefault(sequence, Unsettled(self._number, due_s))
        known.due_s = due_s
        self._set_alarm(due_s)
        # Counted before it is sent: what is sent may come back at once.
        self.waiting.served(waiter)
        self._send(held, waiter)
        if waiter.left and self.server.faults.hits("batch_cut"):
            self.waiting.end(waiter, "408", "Request Timeout")
        if self.server.faults.hits("redelivery"):
            self._hand_out_again(sequence)

    def _send(self, held: "Held", waiter: Waiter) -> None:
        headers: Mapping[str, str] = held.headers
        if self.waiting.groups:
            headers = {**headers, "Nats-Pin-Id": self.waiting.pin}
        place = f"{self.stream.name}.{self.config['durable_name']}"
        counts = f"{self._counts[held.sequence]}.{held.sequence}.{self._number}"
        ack = f"$JS.ACK.{place}.{counts}.{held.time_ns}.{len(self._fresh)}"
        faults = self.server.faults
        self.server.note(place, "delivers", held.subject)
        for _ in range(2 if faults.hits("duplicate") else 1):
            late = faults.up_to(faults.plan.delay_s) if faults.hits("delivery_delayed") else 0
            self.server.send(
                held.subject, held.data, headers, reply=ack, inbox=waiter.reply, delay_s=late
            )

    def _hand_out_again(self, sequence: int) -> None:
        if sequence not in self._again:
            self._again.append(sequence)

    def _ack(self, sequence: int) -> None:
        if self.config.get("ack_policy") == "all":
            for earlier in [one for one in self._unsettled if one <= sequence]:
                self._drop(earlier)
            if sequence > self._floor[1]:
                self._raise_floor()
        elif sequence in self._unsettled:
            self._settle(sequence)

    def _settle(self, sequence: int) -> None:
        self._drop(sequence)
        self._raise_floor()

    def _drop(self, sequence: int) -> None:
        del self._unsettled[sequence]
        self._counts.pop(sequence, None)
        if sequence in self._again:
            self._again.remove(sequence)

    def _raise_floor(self) -> None:
        """Count as settled everything before the oldest unsettled message."""
        if not self._unsettled:
            self._floor = (self._number, self._delivered)
            return
        oldest = min(self._unsettled)
        self._floor = (self._unsettled[oldest].number - 1, oldest - 1)

    def _nak(self, sequence: int, detail: bytes) -> None:
        delay_ns = msgspec.json.decode(detail).get("delay", 0) if detail else 0
        if delay_ns > 0:
            due_s = self.server.clock_s + delay_ns / _NANO
            self._unsettled[sequence].due_s = due_s
            self._set_alarm(due_s)
        else:
            self._hand_out_again(sequence)

    def _set_alarm(self, due_s: float) -> None:
        """Have a look at what is overdue, at a time or sooner."""
        if self._alarm is None or due_s < self._alarm.when():
            if self._alarm is not None:
                self._alarm.cancel()
            self._alarm = self.server.later(due_s - self.server.clock_s, self._ring)

    def _ring(self) -> None:
        self._alarm = None
        waiting = {one: u for one, u in self._unsettled.items() if one not in self._again}
        for sequence, unsettled in waiting.items():
            if unsettled.due_s <= self.server.clock_s + _TICK_S:
                self._hand_out_again(sequence)
            else:
                self._set_alarm(unsettled.due_s)
        self.pump()


_TICK_S: Final = 1e-9
"""What rounding may take from a timer."""
