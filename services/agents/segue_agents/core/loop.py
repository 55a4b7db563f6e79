"""The loop: what comes next in an agent's conversation?

The conversation is the fold of its turns: `evolve` adds one, `decide` says what follows. Nothing
else is remembered, so a worker that takes over goes on where the last turn ended.
"""

from typing import Final, Literal

import msgspec

from segue_agents.core.calls import failed_call
from segue_agents.core.conversation import opening
from segue_agents.core.job import Job, request_id
from segue_agents.core.outcome import Fail, Finish, concluded
from segue_agents.core.usage import added, usage_of, usage_of_failure
from segue_contracts.v1.chat import (
    CallAttempt,
    ChatMessage,
    ChatRequest,
    ChatResponse,
    OutputOptions,
    Refusal,
    RouteOptions,
    StopReason,
    StreamOptions,
    Text,
    ToolCall,
    ToolChoice,
    ToolResult,
)
from segue_contracts.v1.values import Failure, UsageTotals


class Turn(msgspec.Struct, frozen=True, kw_only=True):
    """One exchange of the loop: a model answered, or tools did."""

    number: int
    """Counted from 1."""
    kind: Literal["model", "tools"]
    """Who answered."""
    messages: tuple[ChatMessage, ...]
    """What it adds to the conversation."""
    usage: UsageTotals = UsageTotals()
    """What it used."""
    provider: str = ""
    """Who answered a model turn."""
    model: str = ""
    """The model that answered."""
    warnings: tuple[str, ...] = ()
    """What the router said, such as a fallback."""
    attempts: tuple[CallAttempt, ...] = ()
    """The tries at providers that a model turn took; empty when the first answered."""


class State(msgspec.Struct, frozen=True, kw_only=True):
    """What is known of an attempt after some turns."""

    job: Job
    """The attempt."""
    turns: int = 0
    """Turns so far."""
    answers: int = 0
    """Turns of a model among them."""
    messages: tuple[ChatMessage, ...] = ()
    """What the turns added to the conversation."""
    usage: UsageTotals = UsageTotals()
    """What they used together."""
    provider: str = ""
    """Who answered last."""
    model: str = ""
    """The model that answered last."""
    warnings: tuple[str, ...] = ()
    """What the router said, each sentence once."""


class CallModel(msgspec.Struct, frozen=True):
    """A model shall answer."""

    request: ChatRequest
    """What it is asked; the caller adds the deadline."""


class CallTools(msgspec.Struct, frozen=True):
    """Tools shall answer, all at once."""

    calls: tuple[ToolCall, ...]
    """The calls to do."""
    refused: tuple[ToolResult, ...] = ()
    """Answers of the calls that the limit leaves no room for."""


Decision = CallModel | CallTools | Finish | Fail

_BROKEN: Final[dict[StopReason, tuple[str, str, bool]]] = {
    "max_tokens": ("answer_truncated", "the answer reached its length limit", False),
    "context_window": ("context_window", "the conversation is too long for the model", False),
    "refusal": ("model_refused", "the model declined to answer", False),
    "content_filter": ("model_refused", "the provider's content filter stopped the answer", False),
    "malformed": ("answer_malformed", "the model's answer could not be read", True),
    "pause": ("answer_incomplete", "the model paused in its answer", True),
}
"""Why an answer with this stop reason does not count: code, words, whether another try may help."""


def evolve(state: State, turn: Turn) -> State:
    """Add a turn."""
    fresh = (warning for warning in turn.warnings if warning not in state.warnings)
    return State(
        job=state.job,
        turns=turn.number,
        answers=state.answers + (turn.kind == "model"),
        messages=state.messages + turn.messages,
        usage=added(state.usage, turn.usage),
        provider=turn.provider or state.provider,
        model=turn.model or state.model,
        warnings=(*state.warnings, *fresh),
    )


def decide(state: State) -> Decision:
    """Return what comes next."""
    if not state.messages or state.messages[-1].role == "tool":
        return _ask(state)
    last = state.messages[-1]
    calls = tuple(part for part in last.parts if isinstance(part, ToolCall))
    mine = tuple(call for call in calls if call.kind != "server")
    return _answer(state, mine) if mine else _conclude(state, last)


def _ask(state: State) -> Decision:
    limits = state.job.assignment.manifest.limits
    if state.answers >= limits.turns:
        message = f"the model had its {limits.turns} turns and did not come to an end"
        return _failed(state, "turn_limit", message)
    last_chance = state.answers + 1 == limits.turns
    exhausted = state.usage.tool_calls >= limits.tool_calls
    return CallModel(_request(state, final=last_chance or exhausted))


def _request(state: State, *, final: bool) -> ChatRequest:
    job, place = state.job, state.job.place
    wanted = job.assignment.manifest.model
    return ChatRequest(
        messages=[*opening(job), *state.messages],
        id=request_id(place, state.turns + 1),
        run=place.run,
        step=str(place.step),
        attempt=place.attempt,
        model=job.model or wanted.name,
        tools=list(job.tools),
        tool_choice=ToolChoice(mode="none" if final else "auto"),
        output=OutputOptions(max_tokens=wanted.max_tokens),
        stream=StreamOptions(on=True),
        route=RouteOptions(order=[job.provider] if job.provider else []),
    )


def _answer(state: State, calls: tuple[ToolCall, ...]) -> CallTools:
    """Hand out the calls there is room for; room is reserved before anything runs."""
    limit = state.job.assignment.manifest.limits.tool_calls
    room = max(limit - state.usage.tool_calls, 0)
    sentence = f"not run: the limit of {limit} tool calls is reached; answer with what you have"
    return CallTools(calls[:room], tuple(failed_call(call, sentence) for call in calls[room:]))


def _conclude(state: State, last: ChatMessage) -> Decision:
    refusals = [part.text for part in last.parts if isinstance(part, Refusal)]
    if refusals:
        return _failed(state, "model_refused", f"the model declined: {refusals[0]}")
    text = "\n".join(part.text for part in last.parts if isinstance(part, Text)).strip()
    if not text:
        return _failed(state, "answer_empty", "the model answered with nothing", retryable=True)
    return concluded(
        state.job,
        text,
        results=tuple(
            part for said in state.messages for part in said.parts if isinstance(part, ToolResult)
        ),
        usage=state.usage,
        answered=(state.provider, state.model),
        warnings=state.warnings,
    )


def _failed(state: State, code: str, message: str, *, retryable: bool = False) -> Fail:
    failure = Failure(code=code, message=message, retryable=retryable)
    return Fail(failure=failure, usage=state.usage)


def answered(state: State, response: ChatResponse) -> Turn | Fail:
    """Return the turn that an answer makes; an answer that broke off makes none."""
    usage = usage_of(response)
    if response.stop.reason in _BROKEN:
        code, words, retryable = _BROKEN[response.stop.reason]
        said = f"{words} ({response.provider})"
        failure = Failure(code=code, message=said, retryable=retryable)
        return Fail(failure=failure, usage=added(state.usage, usage))
    return Turn(
        number=state.turns + 1,
        kind="model",
        messages=(response.message,),
        usage=usage,
        provider=response.provider,
        model=response.model_served or response.model_requested,
        warnings=tuple(response.warnings),
        attempts=tuple(response.attempts) if len(response.attempts) > 1 else (),
    )


def unanswered(state: State, failure: Failure) -> Fail:
    """Return the end that a call comes to which nobody answered; its tries are paid for."""
    return Fail(failure=failure, usage=added(state.usage, usage_of_failure(failure)))


def worked(state: State, decision: CallTools, results: tuple[ToolResult, ...]) -> Turn:
    """Return the turn that tools make: one message that answers every call."""
    message = ChatMessage(role="tool", parts=[*results, *decision.refused])
    usage = UsageTotals(tool_calls=len(decision.calls))
    return Turn(number=state.turns + 1, kind="tools", messages=(message,), usage=usage)
