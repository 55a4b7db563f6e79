"""Replay: how do the decisions of two plans on one history compare?"""

import hashlib
from collections.abc import Iterator
from typing import assert_never

import msgspec

from segue_contracts.v1.subjects import step_text_of
from segue_orchestrator.core.effects import (
    Abandon,
    Acquire,
    BeginWait,
    Check,
    Dispatch,
    Effect,
    End,
    Fail,
    Join,
    OpenMap,
    Park,
    Resolve,
    Skip,
    StartChild,
    StopChild,
    TimeOut,
)

_DIGITS = 12


class Track:
    """The decisions of one plan along a history, each told once."""

    def __init__(self) -> None:
        self._told: set[str] = set()

    def new(self, effects: tuple[Effect, ...]) -> list[str]:
        """Return what is decided here for the first time, as one sentence each."""
        texts = [text for effect in effects for text in _texts(effect) if text not in self._told]
        self._told.update(texts)
        return list(dict.fromkeys(texts))


def _texts(effect: Effect) -> Iterator[str]:
    """Yield what an effect decides; nothing for what only follows from another, or from time."""
    match effect:
        case Dispatch() | StartChild() | BeginWait() | OpenMap():
            yield _begun(effect)
        case Join() | Resolve() | Fail() | Check() | TimeOut() | Abandon():
            yield _settled(effect)
        case Skip(step=step, reason=reason):
            yield f"skip {step.key}: {reason}"
        case End(status=status, output=output, error=error):
            code = f", {error.code}" if error is not None else ""
            yield f"end {status}{code}, output {digest(output)}"
        case Park(code=code, step=key):
            yield f"park: {code}{f' of {key}' if key else ''}"
        case Acquire(kind=kind, key=key, limit=limit):
            yield f"acquire {kind} {key!r}, limit {limit}"
        case StopChild(run=run):
            yield f"stop child {run}"
        case _:
            pass


def _begun(effect: Dispatch | StartChild | BeginWait | OpenMap) -> str:
    match effect:
        case Dispatch(step=step, token=token, attempt=attempt, input=given):
            asked = ".".join(
                part for part in (step.agent, step.action, step.provider, step.model) if part
            )
            whom = f"{step.pool} ({asked})" if asked else step.pool
            return f"dispatch {_name(token, attempt)} to {whom}, input {digest(given)}"
        case StartChild(step=step, token=token, attempt=attempt, definition=definition):
            what = f"{step.reference} ({definition[:_DIGITS]}), input {digest(effect.input)}"
            return f"start child of {_name(token, attempt)}: {what}"
        case BeginWait(token=token, attempt=attempt, asked=wait, match=match):
            what = f"{wait.kind} {wait.name}".strip()
            return f"wait in {_name(token, attempt)} for {what}{f' if {match}' if match else ''}"
        case OpenMap(step=step, items=items):
            return f"repeat {step.key} for {len(items)} items {digest(items)}"
        case _:
            assert_never(effect)


def _settled(effect: Join | Resolve | Fail | Check | TimeOut | Abandon) -> str:
    token = effect.step.token if isinstance(effect, Join) else effect.token
    name = _name(token, effect.attempt)
    match effect:
        case Join(places=places):
            return f"join {name}, {len(places)} items"
        case Resolve():
            return f"resolve {name}"
        case Fail(error=error) | TimeOut(error=error):
            return f"fail {name}: {error.code}"
        case Check(problems=problems):
            return f"{'refuse' if problems else 'accept'} the output of {name}"
        case Abandon():
            return f"abandon {name}"
        case _:
            assert_never(effect)


def digest(value: object) -> str:
    """Return the first digits of a value's hash; the same for equal values."""
    return hashlib.sha256(msgspec.json.encode(value, order="sorted")).hexdigest()[:_DIGITS]


def _name(token: str, attempt: int) -> str:
    return f"{step_text_of(token)}.{attempt}"
