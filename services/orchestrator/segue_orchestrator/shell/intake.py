"""The intake: how does an event of a user's system reach the runs that wait for it?"""

from typing import Any

import msgspec
import structlog

from segue_contracts.payload import Value
from segue_contracts.v1 import runs, subjects
from segue_language import ExpressionError, Scope, truthy
from segue_orchestrator.shell.wait_index import Indexed, WaitIndex
from segue_orchestrator.shell.writer import Writer
from segue_shared.delivery import Delivery
from segue_shared.payloads import Payloads
from segue_shared.pull import Ack, Dead, Verdict

_log = structlog.get_logger()


class Intake:
    """Relays events to waiting runs, once each."""

    def __init__(self, waits: WaitIndex, payloads: Payloads, writer: Writer) -> None:
        self._waits = waits
        self._payloads = payloads
        self._writer = writer

    async def relay(self, delivery: Delivery) -> Verdict:
        """Tell every run whose condition an event satisfies."""
        place = subjects.parse_intake(delivery.subject)
        waiting = await self._waits.waiting_for(place.namespace, place.topic)
        if not waiting:
            return Ack()
        try:
            event = msgspec.json.decode(delivery.data)
        except msgspec.DecodeError as error:
            return Dead("undecodable", f"an event that runs wait for is no JSON: {error}")
        value = await self._payloads.wrap(event)
        for wait in waiting:
            if _satisfies(wait, event):
                await self._tell(place.namespace, wait, delivery, value)
        return Ack()

    async def _tell(self, namespace: str, wait: Indexed, delivery: Delivery, value: Value) -> None:
        name = f"signal.in-{delivery.sequence}-{subjects.short_hash(wait.token)}"
        subject = subjects.run_event(namespace, wait.run, name)
        body = runs.SignalReceived(name=wait.name, payload=value, step=wait.token)
        await self._writer.create(subject, body, about=wait.run)


def _satisfies(wait: Indexed, event: Any) -> bool:
    if not wait.match:
        return True
    scope = Scope(
        inputs=wait.scope.get("inputs", {}),
        outputs=wait.scope.get("outputs", {}),
        states=wait.scope.get("states", {}),
        values={"event": event, "run": wait.scope.get("run", {})},
    )
    try:
        return truthy(wait.match, scope)
    except ExpressionError as error:
        # An event of another shape than the condition expects is not the one that is waited for.
        _log.info("event_not_comparable", run_id=wait.run, step=wait.token, reason=str(error))
        return False
