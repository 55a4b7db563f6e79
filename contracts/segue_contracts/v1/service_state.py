"""Service states: how does an instance tell that it came up or goes down?"""

from typing import Literal

from segue_contracts.v1 import subjects
from segue_contracts.v1.events import frame
from segue_contracts.v1.telemetry import ServiceStateChanged


def state_event(
    *,
    service: str,
    instance: str,
    state: Literal["ready", "draining"],
    namespace: str,
    time: str,
) -> tuple[str, bytes]:
    """Return the subject and the framed body of a state change.

    Args:
        service: The service's name.
        instance: Which one of it.
        state: What it is now.
        namespace: The tenant that is meant when none is named.
        time: RFC 3339 in UTC.
    """
    subject = subjects.telemetry(namespace, service, "service", state)
    body = ServiceStateChanged(service=service, instance=instance, state=state)
    source = f"segue/{service}"
    return subject, frame(body, subject=subject, source=source, about=instance, time=time)
