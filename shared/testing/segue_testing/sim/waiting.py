"""The waiting room: who waits for a consumer's messages, and who may have the next one?"""

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import msgspec

if TYPE_CHECKING:
    from segue_testing.sim.consumer import SimConsumer

_NANO: Final = 1_000_000_000


class Pull(msgspec.Struct, frozen=True):
    """What a pull request asks for."""

    batch: int = 1
    expires: int = 0
    no_wait: bool = False
    group: str = ""
    id: str = ""


@dataclass(slots=True, kw_only=True, eq=False)
class Waiter:
    """A pull request that is not yet satisfied."""

    reply: str
    left: int
    no_wait: bool
    pin: str
    expiry: asyncio.TimerHandle | None = None


class WaitingRoom:
    """The pull requests of one consumer, and the pin of its priority group."""

    def __init__(self, consumer: "SimConsumer", config: dict[str, Any]) -> None:
        self._consumer = consumer
        self._server = consumer.server
        self._waiters: list[Waiter] = []
        self._timeout_s = config.get("priority_timeout", 0) / _NANO
        self._unpinning: asyncio.TimerHandle | None = None
        self.groups: list[str] = config.get("priority_groups", [])
        self.pin = ""

    def __len__(self) -> int:
        return sum(self._server.has_interest(waiter.reply) for waiter in self._waiters)

    def enter(self, reply: str, body: bytes) -> None:
        """Take a pull request, or say at once why not."""
        pull = msgspec.json.decode(body or b"{}", type=Pull)
        if problem := self._problem(pull):
            self._server.send(reply, b"", problem)
            return
        if pull.id and pull.id == self.pin:
            self._keep_pin()
        waiter = Waiter(reply=reply, left=max(pull.batch, 1), no_wait=pull.no_wait, pin=pull.id)
        self._waiters.append(waiter)
        if pull.expires > 0:
            waiter.expiry = self._server.later(
                pull.expires / _NANO, lambda: self.end(waiter, "408", "Request Timeout")
            )

    def _problem(self, pull: Pull) -> dict[str, str] | None:
        if not self.groups:
            return None
        if not pull.group:
            return _status("400", "Bad Request - Priority Group missing")
        if pull.group not in self.groups:
            return _status("400", "Bad Request - Invalid Priority Group")
        if pull.id and self.pin and pull.id != self.pin:
            return _status("423", "Nats-Pin-Id mismatch")
        return None

    def next(self) -> Waiter | None:
        """Return who gets the next message; whoever is pinned anew holds the pin from then on."""
        for waiter in tuple(self._waiters):
            if not self._server.has_interest(waiter.reply):
                self._leave(waiter)
            elif waiter.pin != self.pin and waiter.pin:
                self.end(waiter, "423", "Nats-Wrong-Pin-Id")
            elif not self.groups or (self.pin and waiter.pin):
                return waiter
            elif not self.pin:
                waiter.pin = self.pin = f"pin{self._server.next_id()}"
                self._keep_pin()
                return waiter
        return None

    def served(self, waiter: Waiter) -> None:
        """Count a message; whoever wants more comes last."""
        waiter.left -= 1
        self._waiters.remove(waiter)
        if waiter.left:
            self._waiters.append(waiter)
        elif waiter.expiry is not None:
            waiter.expiry.cancel()

    def end(self, waiter: Waiter, status: str, description: str) -> None:
        """Tell a request that nothing more will come."""
        if waiter not in self._waiters:
            return
        self._leave(waiter)
        left = {"Nats-Pending-Messages": str(waiter.left), "Nats-Pending-Bytes": "0"}
        self._server.send(waiter.reply, b"", _status(status, description) | left)

    def dismiss_hasty(self) -> None:
        """Tell those who do not wait that nothing is there."""
        for waiter in [one for one in self._waiters if one.no_wait]:
            self._leave(waiter)
            self._server.send(waiter.reply, b"", _status("404", "No Messages"))

    def close(self) -> None:
        """Tell everybody that the consumer is gone."""
        for waiter in tuple(self._waiters):
            self._leave(waiter)
            self._server.send(waiter.reply, b"", _status("409", "Consumer Deleted"))
        self.unpin()

    def unpin(self) -> None:
        """Let the next request be pinned."""
        self.pin = ""
        if self._unpinning is not None:
            self._unpinning.cancel()
            self._unpinning = None

    def _keep_pin(self) -> None:
        """Count the pin's timeout from now on."""
        if self._unpinning is not None:
            self._unpinning.cancel()
        self._unpinning = self._server.later(self._timeout_s, self._time_out)

    def _time_out(self) -> None:
        self.unpin()
        self._consumer.pump()

    def _leave(self, waiter: Waiter) -> None:
        self._waiters.remove(waiter)
        if waiter.expiry is not None:
            waiter.expiry.cancel()


def _status(code: str, description: str) -> dict[str, str]:
    return {"Status": code, "Description": description}
