"""Watching: where do the deltas of a request go?"""

from collections.abc import Callable
from typing import Final

from msgspec import structs

from segue_contracts.envelope import encode
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import ChatRequest, ChatResponse
from segue_contracts.v1.deltas import (
    AttemptReset,
    Delta,
    DeltaEnd,
    DeltaError,
    DeltaStart,
    Heartbeat,
    StepDelta,
)
from segue_contracts.v1.events import make_event
from segue_providers.core.answer import Whole
from segue_providers.core.assembly import Assembly, deltas_of
from segue_providers.shell.controls import Credit
from segue_providers.shell.deltas import DeltaStream, Send
from segue_providers.shell.telling import SOURCE, about_of
from segue_shared.errors import RefusedError
from segue_shared.refusals import invalid
from segue_worker.ports import EventBus

_FREE: Final = (AttemptReset, DeltaEnd, DeltaError, Heartbeat)
"""What is sent to a caller without credit: it is little, and ends its wait."""

Stamp = Callable[[], str]
"""Tells the time, RFC 3339 in UTC."""


def sender_of(
    request: ChatRequest,
    namespace: str,
    *,
    bus: EventBus,
    credit: Credit,
    stamp: Stamp,
) -> Send | None:
    """Return how the deltas of a request are published; None when nobody watches.

    They go to the step's subject for everybody, and to the caller's own subject at the pace that
    its credit allows.

    Raises:
        RefusedError: The request names a run, step or subject that cannot be.
    """
    subject, own = _subject(request, namespace), request.stream.to
    if own and not subjects.is_call_deltas(own, namespace):
        # Whoever may ask must not have this service publish where it could not itself.
        raise RefusedError(invalid(f"stream.to: {own!r} is no subject of this namespace's calls"))
    if not request.stream.on or not (subject or own):
        return None
    about = about_of(request)

    async def send(delta: Delta) -> None:
        body = StepDelta(run=request.run, step=request.step, delta=delta)
        event_id = f"{request.id}/{delta.seq}"
        event = encode(make_event(body, id=event_id, source=SOURCE, subject=about, time=stamp()))
        if subject:
            await bus.publish(subject, event)
        if own:
            if not isinstance(delta, _FREE):
                await credit.take()
            await bus.publish(own, event)

    return send


async def show_whole(response: ChatResponse, request: ChatRequest, deltas: DeltaStream) -> None:
    """Show an answer that was there at once, as if it were being written."""
    assembly = Assembly()
    start = DeltaStart(request="", provider=response.provider, model=response.model_served)
    await deltas.show([start])
    for index, part in enumerate(response.message.parts):
        event = Whole(index=index, part=part)
        assembly.take(event)
        shown = deltas_of(event, assembly, provider=response.provider, stream=request.stream)
        await deltas.show(shown)
    await deltas.end(response)


def relayed(request: ChatRequest, send: Send | None) -> Send:
    """Return how a call that several requests share tells its deltas to one of them."""

    async def see(delta: Delta) -> None:
        if send is not None:
            await send(structs.replace(delta, request=request.id))

    return see


def _subject(request: ChatRequest, namespace: str) -> str:
    if not (request.run and request.step):
        return ""
    try:
        subjects.run_prefix(namespace, request.run)
        step = subjects.step_token(subjects.StepId(request.step))
        return subjects.delta(namespace, request.run, step)
    except subjects.SubjectError as error:
        raise RefusedError(invalid(f"run, step: {error}")) from error
