"""The loop: what comes next in an agent's conversation?"""

import pytest
from unit.agents.agent_support import (
    a_finding,
    a_job,
    a_manifest,
    a_report,
    answers,
    calls,
    json_of,
    says,
)

from segue_agents.core.job import Job
from segue_agents.core.loop import (
    CallModel,
    CallTools,
    State,
    Turn,
    answered,
    decide,
    evolve,
    worked,
)
from segue_agents.core.manifest import Limits
from segue_agents.core.outcome import Fail, Finish
from segue_contracts.v1.chat import ChatResponse, Refusal, StopReason, Text, ToolCall, ToolResult
from segue_contracts.v1.values import UsageTotals


def _after(*responses: ChatResponse | str, job: Job | None = None) -> State:
    """Return the state after answers; a text stands for what every open call returned."""
    state = State(job=job or a_job())
    for response in responses:
        turn = _tools(state, response) if isinstance(response, str) else answered(state, response)
        assert isinstance(turn, Turn)
        state = evolve(state, turn)
    return state


def _tools(state: State, content: str) -> Turn:
    wanted = decide(state)
    assert isinstance(wanted, CallTools)
    results = tuple(
        ToolResult(
            tool_call_id=call.id, name=call.name, content=content, is_error="error" in content
        )
        for call in wanted.calls
    )
    return worked(state, wanted, results)


def _model(state: State) -> CallModel:
    decision = decide(state)
    assert isinstance(decision, CallModel)
    return decision


def _fail(state: State) -> Fail:
    decision = decide(state)
    assert isinstance(decision, Fail)
    return decision


def test_the_first_thing_is_to_ask_the_model() -> None:
    """The request carries the conversation, the tools and its idempotency key."""
    request = _model(_after()).request

    assert [message.role for message in request.messages] == ["system", "user"]
    assert [tool.name for tool in request.tools] == ["look", "smell"]
    assert request.id == "run00000000000000000000001:scan:1:1"
    assert (
        request.run,
        request.step,
        request.attempt,
    ) == ("run00000000000000000000001", "scan", 1)
    assert request.stream.on
    assert request.tool_choice.mode == "auto"


def test_the_author_s_provider_and_model_go_first() -> None:
    """They are a preference in the route, and the model that is asked for."""
    request = _model(_after(job=a_job(provider="gemini", model="gemini/pro"))).request

    assert request.route.order == ["gemini"]
    assert request.model == "gemini/pro"
    assert _model(_after()).request.route.order == []


def test_calls_in_an_answer_are_handed_to_the_tools() -> None:
    """All calls of one answer are one turn."""
    decision = decide(_after(calls("look", "smell")))

    assert isinstance(decision, CallTools)
    assert [call.name for call in decision.calls] == ["look", "smell"]
    assert decision.refused == ()


def test_calls_that_the_provider_ran_itself_are_no_work_for_us() -> None:
    """A server tool's call is answered already."""
    call = ToolCall(id="s1", name="search", kind="server")

    assert isinstance(decide(_after(answers(call, Text(text="Found it.")))), Finish)


def test_after_the_tools_the_model_is_asked_again_with_what_they_said() -> None:
    """The key counts all turns, and the conversation holds them in order."""
    request = _model(_after(calls("look"), "result")).request

    assert [each.role for each in request.messages] == ["system", "user", "assistant", "tool"]
    assert request.id.endswith(":3")


def test_words_without_calls_end_the_conversation() -> None:
    """The text is the summary, and usage is the sum of all turns."""
    state = _after(calls("look"), json_of(a_report(a_finding())), says("It is bad."))

    decision = decide(state)

    assert isinstance(decision, Finish)
    assert decision.output["summary"] == "It is bad."
    expected = UsageTotals(
        input_tokens=20, output_tokens=10, cost_usd="0.02", model_calls=2, tool_calls=1
    )
    assert expected == decision.usage
    assert (decision.provider, decision.model) == ("claude", "claude-large")


def test_the_last_answer_must_be_words() -> None:
    """The model is not offered another call when no turn is left to use its result."""
    job = a_job(manifest=a_manifest(limits=Limits(turns=2, tool_calls=9)))

    assert _model(_after(calls("look"), "r", job=job)).request.tool_choice.mode == "none"


def test_a_model_that_never_ends_runs_into_its_limit() -> None:
    """Another attempt would do the same, so it is not retried."""
    job = a_job(manifest=a_manifest(limits=Limits(turns=1)))

    fail = _fail(_after(calls("look"), "r", job=job))

    assert (fail.failure.code, fail.failure.retryable) == ("turn_limit", False)
    assert fail.usage.model_calls == 1


def test_calls_over_the_limit_are_answered_instead_of_run() -> None:
    """Room is reserved before anything runs: three of four calls fit."""
    state = _after(calls("look", "look", "look", "look"))

    decision = decide(state)

    assert isinstance(decision, CallTools)
    assert [call.id for call in decision.calls] == ["c1", "c2", "c3"]
    assert [result.tool_call_id for result in decision.refused] == ["c4"]
    assert "the limit of 3 tool calls is reached" in decision.refused[0].content


def test_with_all_calls_used_the_model_must_come_to_an_end() -> None:
    """It is asked for words; what it still calls is answered, not run."""
    state = _after(calls("look", "look", "look"), "r")

    assert _model(state).request.tool_choice.mode == "none"
    stubborn = decide(evolve(state, _turn(state, calls("smell"))))
    assert isinstance(stubborn, CallTools)
    assert stubborn.calls == ()


def _turn(state: State, response: ChatResponse) -> Turn:
    turn = answered(state, response)
    assert isinstance(turn, Turn)
    return turn


def test_an_empty_answer_is_a_failure_that_may_pass() -> None:
    """Nothing was said, so nothing can be handed on."""
    fail = _fail(_after(says("  ")))

    assert (fail.failure.code, fail.failure.retryable) == ("answer_empty", True)


def test_a_refusal_is_a_failure_in_the_model_s_words() -> None:
    """Asking again would be refused again."""
    fail = _fail(_after(answers(Refusal(text="I will not."))))

    assert (fail.failure.code, fail.failure.retryable) == ("model_refused", False)
    assert "I will not." in fail.failure.message


@pytest.mark.parametrize(
    ("reason", "code", "again"),
    [
        ("max_tokens", "answer_truncated", "no"),
        ("context_window", "context_window", "no"),
        ("refusal", "model_refused", "no"),
        ("content_filter", "model_refused", "no"),
        ("malformed", "answer_malformed", "yes"),
        ("pause", "answer_incomplete", "yes"),
    ],
)
def test_an_answer_that_broke_off_does_not_count(reason: StopReason, code: str, again: str) -> None:
    """It makes no turn, is paid for all the same, and may be worth another attempt."""
    result = answered(_after(), answers(Text(text="Half a"), stop=reason))

    assert isinstance(result, Fail)
    assert (result.failure.code, result.failure.retryable) == (code, again == "yes")
    assert result.usage.model_calls == 1


def test_warnings_of_the_router_are_kept_once() -> None:
    """A fallback that every answer reports is one note."""
    warned = answers(ToolCall(id="c1", name="look"), stop="tool_use", warnings=("fell back",))

    state = _after(warned, "r", answers(Text(text="Done."), warnings=("fell back", "slow")))

    assert state.warnings == ("fell back", "slow")


def test_the_state_is_the_fold_of_its_turns() -> None:
    """Folding the same turns again gives the same decision."""
    turns = [_turn(_after(), calls("look"))]
    first = evolve(State(job=a_job()), turns[0])
    turns.append(_tools(first, "r"))
    folded = State(job=a_job())
    for turn in turns:
        folded = evolve(folded, turn)

    assert decide(evolve(first, turns[1])) == decide(folded)
    assert (folded.turns, folded.answers, folded.usage.tool_calls) == (2, 1, 1)


def test_a_cost_that_is_no_number_counts_as_nothing() -> None:
    """The sum stays a number; the ledger is elsewhere."""
    state = State(job=a_job())
    turn = Turn(number=1, kind="model", messages=(), usage=UsageTotals(cost_usd="cheap"))

    assert evolve(state, turn).usage.cost_usd == "0"
