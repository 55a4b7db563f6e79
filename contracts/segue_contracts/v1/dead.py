"""Dead letters: how is a message kept that nobody could handle?"""

import base64

from segue_contracts.undeliverable import Undeliverable
from segue_contracts.v1 import subjects
from segue_contracts.v1.events import frame
from segue_contracts.v1.telemetry import DeadLetter

MAX_BYTES = 512 * 1024
_SECRET_HEADERS = frozenset({"authorization", "cookie", "x-api-key"})


def dead_letter(message: Undeliverable, *, time: str) -> tuple[str, bytes]:
    """Return the subject and the framed body under which a message is kept.

    Args:
        message: What could not be handled.
        time: RFC 3339 in UTC.
    """
    target = subjects.dead(_namespace(message.subject), message.service, message.reason)
    body = DeadLetter(
        service=message.service,
        reason=message.reason,
        detail=message.detail,
        subject=message.subject,
        data_b64=base64.b64encode(message.data[:MAX_BYTES]).decode(),
        stream=message.stream,
        sequence=message.sequence,
        headers={k: v for k, v in message.headers.items() if k.lower() not in _SECRET_HEADERS},
    )
    source = f"segue/{message.service}"
    return target, frame(body, subject=target, source=source, about=message.subject, time=time)


def _namespace(subject: str) -> str:
    """Return the tenant of a subject; a foreign one must not keep the letter from being stored."""
    parts = subject.split(".")
    try:
        return subjects.token(parts[2]) if parts[:2] == ["segue", "v1"] else "default"
    except (IndexError, subjects.SubjectError):
        return "default"
