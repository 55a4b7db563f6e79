"""Direct reads: what does a stream answer to a direct get?"""

from typing import Any, Final

import msgspec

from segue_shared.journal import parse_time_ms
from segue_testing.sim.patterns import any_of
from segue_testing.sim.stream import Held, SimStream

Answer = tuple[dict[str, str], bytes]
"""Headers and content."""

_MOST_SUBJECTS: Final = 1024


def direct_get(
    stream: SimStream, subject: str, body: bytes, *, lag: int = 0, most: int = 0
) -> list[Answer]:
    """Return the answers to a request, the last of a batch being its status.

    Args:
        stream: What is read.
        subject: The subject whose newest message is asked for by the request's own subject, if any.
        body: The request.
        lag: How many of the newest messages the replica lacks, as far as they are recent.
        most: How many messages an answer has room for; 0 for no bound.
    """
    stream.sweep()
    upto = stream.known_to_replica(lag) if lag else stream.last_seq
    if subject:
        return [_one(stream, find(stream, {"last_by_subj": subject}, upto))]
    try:
        request = msgspec.json.decode(body or b"{}", type=dict[str, Any])
    except msgspec.DecodeError:
        return [_status("408", "Malformed Request")]
    match request:
        case {"multi_last": patterns}:
            return _multi_last(stream, tuple(patterns), request, upto, most=most)
        case {"next_by_subj": pattern, "batch": batch}:
            first = _first_since(stream, request) or request.get("seq", 0)
            found = _fitting(stream, pattern, first, upto)
            return (
                _batch(stream, found, min(batch, most or batch))
                if found
                else [_status("404", "Message Not Found")]
            )
        case {"next_by_subj": _} | {"last_by_subj": _}:
            return [_one(stream, find(stream, request, upto))]
        case {"seq": int(sequence)} if sequence > 0:
            return [_one(stream, find(stream, request, upto))]
        case _:
            return [_status("408", "Empty Request")]


def find(stream: SimStream, request: dict[str, Any], upto: int) -> Held | None:
    """Return the one message that a request asks for; None when there is none.

    Args:
        stream: What is read.
        request: A sequence, a pattern whose newest message is wanted, or both, for the next one.
        upto: The newest sequence that counts.
    """
    sequence = request.get("seq", 0)
    match request:
        case {"next_by_subj": pattern}:
            return next(iter(_fitting(stream, pattern, sequence, upto)), None)
        case {"last_by_subj": pattern}:
            sequence = stream.newest(pattern, upto=upto)
    return stream.messages.get(sequence) if sequence <= upto else None


def _status(code: str, description: str) -> Answer:
    return {"Status": code, "Description": description}, b""


def _one(stream: SimStream, held: Held | None) -> Answer:
    if held is None:
        return _status("404", "Message Not Found")
    return held.marked(stream.name), held.data


def _first_since(stream: SimStream, request: dict[str, Any]) -> int:
    """Return the first sequence stored at a time or later; 0 when none is asked for."""
    if "start_time" not in request:
        return 0
    since_ns = parse_time_ms(request["start_time"]) * 1_000_000
    young = (held.sequence for held in stream.messages.values() if held.time_ns >= since_ns)
    return next(young, stream.last_seq + 1)


def _fitting(stream: SimStream, pattern: str, sequence: int, upto: int) -> list[Held]:
    """Return what fits and comes at a sequence or after it."""
    fitting = any_of((pattern,))
    return [
        held
        for held in stream.messages.values()
        if sequence <= held.sequence <= upto and fitting(held.subject)
    ]


def _multi_last(
    stream: SimStream, patterns: tuple[str, ...], request: dict[str, Any], upto: int, *, most: int
) -> list[Answer]:
    """Answer with the newest of each subject that fits."""
    fitting = any_of(patterns)
    upto = min(upto, request.get("up_to_seq") or upto)
    newest = {stream.newest_of(one, upto) for one in stream.by_subject if fitting(one)} - {0}
    first = request.get("seq", 0)
    if len(newest) > _MOST_SUBJECTS:
        return [_status("413", "Too Many Results")]
    if not newest:
        return [_status("404", "No Results")]
    found = [stream.messages[sequence] for sequence in sorted(newest) if sequence >= first]
    asked = request.get("batch", len(found))
    answers = _batch(stream, found, min(asked, most or asked))
    answers[-1][0]["Nats-UpTo-Sequence"] = str(upto)
    return answers


def _batch(stream: SimStream, found: list[Held], batch: int) -> list[Answer]:
    """Answer with as many messages as asked for, each saying how many are left."""
    answers = []
    left, last = len(found), 0
    for held in found[:batch]:
        left -= 1
        answers.append(({**held.marked(stream.name), **_counts(left, last)}, held.data))
        last = held.sequence
    headers, _ = _status("204", "EOB")
    return [*answers, ({**headers, **_counts(left, last)}, b"")]


def _counts(left: int, last: int) -> dict[str, str]:
    return {"Nats-Num-Pending": str(left), "Nats-Last-Sequence": str(last)}
