"""The API: what does the simulated server answer to JetStream's own requests?"""

from typing import TYPE_CHECKING, Any, Final

import msgspec

from segue_testing.sim.consumer import SimConsumer
from segue_testing.sim.reads import find
from segue_testing.sim.stream import SimStream, timestamp

if TYPE_CHECKING:
    from segue_testing.sim.server import SimServer

API: Final = "$JS.API."

Answer = dict[str, Any]

_NO_STREAM: Final = {"code": 404, "err_code": 10059, "description": "stream not found"}
_NO_CONSUMER: Final = {"code": 404, "err_code": 10014, "description": "consumer not found"}
_NO_MESSAGE: Final = {"code": 404, "err_code": 10037, "description": "no message found"}
_NO_GROUP: Final = {
    "code": 400,
    "err_code": 10160,
    "description": "Provided priority group does not exist for this consumer",
}
_PAGE: Final = 256
_FIXED: Final = ("ack_policy", "deliver_policy")


def answer(server: "SimServer", call: str, body: bytes) -> Answer | None:
    """Return the answer to an API call; None where the server keeps silent.

    Args:
        server: Who is asked.
        call: The subject after `$JS.API.`.
        body: The request.
    """
    request: Answer = msgspec.json.decode(body) if body else {}
    match call.split("."):
        case ["STREAM", verb, name]:
            return _stream_call(server, verb, name, request)
        case ["STREAM", "MSG", "GET", name]:
            return _message(server.streams.get(name), request)
        case ["STREAM", "MSG", "DELETE", name]:
            return _delete(server.streams.get(name), request["seq"])
        case ["CONSUMER", "LIST", name]:
            return _consumers(server.streams.get(name), request.get("offset", 0))
        case ["CONSUMER", verb, name, durable] if verb not in {"CREATE", "DURABLE"}:
            return _consumer_call(server.streams.get(name), verb, durable, request)
        case ["CONSUMER", "DURABLE", "CREATE", name, durable]:
            return _create_consumer(server.streams.get(name), durable, request["config"])
        case ["CONSUMER", "CREATE", name, durable, *_]:
            return _create_consumer(server.streams.get(name), durable, request["config"])
        case _:
            return None


def _stream_call(server: "SimServer", verb: str, name: str, request: Answer) -> Answer | None:
    if verb in {"CREATE", "UPDATE"}:
        return _stream_info(server.create_stream(request), {})
    stream = server.streams.get(name)
    if stream is None:
        return {"error": _NO_STREAM}
    stream.sweep()
    match verb:
        case "INFO":
            return _stream_info(stream, request)
        case "PURGE":
            purged = stream.purge(
                pattern=request.get("filter", ""),
                before=request.get("seq", 0),
                keep=request.get("keep", 0),
            )
            return {"success": True, "purged": purged}
        case _:
            return None


def _stream_info(stream: SimStream, request: Answer) -> Answer:
    state: Answer = {
        "messages": len(stream.messages),
        "first_seq": stream.first_seq,
        "last_seq": stream.last_seq,
        "num_subjects": len(stream.by_subject),
        "consumer_count": len(stream.consumers),
    }
    pattern = request.get("subjects_filter")
    if pattern and (
        counts := {one: len(stream.by_subject[one]) for one in stream.subjects(pattern)}
    ):
        state["subjects"] = counts
    created = timestamp(stream.server.now_ns)
    return {"config": stream.config, "state": state, "ts": created}


def _message(stream: SimStream | None, request: Answer) -> Answer:
    """Answer with one message as the stream's leader knows it."""
    if stream is None:
        return {"error": _NO_STREAM}
    stream.sweep()
    held = find(stream, request, stream.last_seq)
    if held is None:
        return {"error": _NO_MESSAGE}
    time = timestamp(held.time_ns)
    message = {"subject": held.subject, "seq": held.sequence, "data": held.data, "time": time}
    return {"message": message}


def _delete(stream: SimStream | None, sequence: int) -> Answer:
    if stream is None:
        return {"error": _NO_STREAM}
    stream.sweep()
    if sequence not in stream.messages:
        return {"error": {"code": 500, "err_code": 10057, "description": "no message found"}}
    stream.remove(sequence)
    return {"success": True}


def _consumers(stream: SimStream | None, offset: int) -> Answer:
    if stream is None:
        return {"error": _NO_STREAM}
    names = sorted(stream.consumers)
    page = [stream.consumers[name].info() for name in names[offset : offset + _PAGE]]
    return {"total": len(names), "offset": offset, "limit": _PAGE, "consumers": page}


def _consumer_call(
    stream: SimStream | None, verb: str, durable: str, request: Answer
) -> Answer | None:
    consumer = stream.consumers.get(durable) if stream else None
    if stream is None or consumer is None:
        # The server leaves a reset of nothing without an answer.
        missing = _NO_CONSUMER if stream else _NO_STREAM
        return None if verb == "RESET" else {"error": missing}
    match verb:
        case "INFO":
            return consumer.info()
        case "RESET":
            first = consumer.reset()
            return consumer.info() | {"reset_seq": first}
        case "UNPIN":
            return _unpin(consumer, request)
        case "DELETE":
            del stream.consumers[durable]
            consumer.close()
            return {"success": True}
        case _:
            return None


def _unpin(consumer: SimConsumer, request: Answer) -> Answer:
    if request.get("group") not in consumer.waiting.groups:
        return {"error": _NO_GROUP}
    consumer.unpin()
    return {}


def _create_consumer(stream: SimStream | None, durable: str, config: Answer) -> Answer:
    """Make a consumer, or change what may be changed of it."""
    if stream is None:
        return {"error": _NO_STREAM}
    config = {**config, "durable_name": durable, "name": durable}
    known = stream.consumers.get(durable)
    if known is None:
        known = stream.consumers[durable] = SimConsumer(stream, config)
        return known.info()
    for key in _FIXED:
        if known.config.get(key) != config.get(key):
            what = key.replace("_", " ")
            description = f"{what} can not be updated"
            return {"error": {"code": 500, "err_code": 10012, "description": description}}
    known.update(config)
    return known.info()
