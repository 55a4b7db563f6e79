"""Snapshots: how does a state outlive the events that it was folded from?"""

from collections.abc import Iterator, Mapping
from typing import Final

import msgspec
from msgspec import UnsetType

from segue_contracts.payload import Value
from segue_orchestrator.core.state import OutputAt, RunState

FORMAT: Final = 1
"""Changes with every change of the state that an older reader would misread."""


class Snapshot(msgspec.Struct, frozen=True):
    """A state as it is stored."""

    format: int
    state: RunState


_decoder: Final = msgspec.json.Decoder(Snapshot)


def encode_state(state: RunState) -> bytes:
    """Return the JSON of a state; what only its owner knows is left out."""
    return msgspec.json.encode(Snapshot(FORMAT, state))


def decode_state(data: bytes) -> RunState | None:
    """Return the state of a snapshot; None when it has another format."""
    try:
        snapshot = _decoder.decode(data)
    except msgspec.DecodeError:
        return None
    if snapshot.format != FORMAT:
        return None
    for step in snapshot.state.steps.values():
        if step.map is not None:
            step.map.offered = 0
    return snapshot.state


def journaled(state: RunState) -> set[OutputAt]:
    """Return the places of values that only events of the journal hold."""
    return {at for at in _places(state) if at.ref is None}


def _places(state: RunState) -> Iterator[OutputAt]:
    for step in state.steps.values():
        if step.output is not None:
            yield step.output
        if step.map is not None:
            yield step.map.items
        if step.launch is not None:
            yield step.launch.inputs
        if step.wait is not None and step.wait.answer is not None:
            yield step.wait.answer
    for kept in state.signals.values():
        yield from kept


def references(state: RunState) -> set[str]:
    """Return the hashes of the payloads that a state refers to."""
    refs = [at.ref for at in _places(state)]
    refs += [value.ref for value in _values(state) if not isinstance(value.ref, UnsetType)]
    return {ref.sha256 for ref in refs if ref is not None}


def _values(state: RunState) -> Iterator[Value]:
    yield state.started.inputs
    if not isinstance(state.started.fork, UnsetType):
        yield state.started.fork.settled
    if state.ended is not None and not isinstance(state.ended.output, UnsetType):
        yield state.ended.output


def relocate(state: RunState, moved: Mapping[OutputAt, OutputAt]) -> None:
    """Replace places by others that hold the same values."""
    for step in state.steps.values():
        if step.output is not None:
            step.output = moved.get(step.output, step.output)
        if step.map is not None:
            step.map.items = moved.get(step.map.items, step.map.items)
        if step.launch is not None:
            inputs = moved.get(step.launch.inputs, step.launch.inputs)
            step.launch = msgspec.structs.replace(step.launch, inputs=inputs)
        if step.wait is not None and step.wait.answer is not None:
            step.wait.answer = moved.get(step.wait.answer, step.wait.answer)
    for kept in state.signals.values():
        kept[:] = [moved.get(at, at) for at in kept]
