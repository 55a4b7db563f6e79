"""Does Gemini's adapter speak with Gemini, through Google's own library?"""

from collections.abc import Sequence
from typing import Any

import httpx2
import pytest
from support.emulating import Emulated
from support.model_calls import KEY

from segue_contracts.v1.chat import (
    ChatMessage,
    ChatRequest,
    Part,
    Reasoning,
    ReasoningOptions,
    Sampling,
    StreamOptions,
    Text,
    Tool,
    ToolCall,
    ToolResult,
)
from segue_providers.core.answer import Alive, AnswerEvent, Began
from segue_providers.core.assembly import Assembly
from segue_providers.core.configuration import Provider
from segue_providers.shell.adapters.gemini import connect
from segue_providers.shell.ports import ModelCallError, ModelClient

MODEL = "gemini-3.8-flash"
LOOK = Tool(
    name="look",
    description="Looks.",
    parameters={
        "type": "object",
        "properties": {"thing_id": {"type": "string"}},
        "required": ["thing_id"],
    },
)
both_ways = pytest.mark.parametrize("streamed", [False, True], ids=["whole", "streamed"])


pytestmark = pytest.mark.asyncio(loop_scope="module")


def gemini(emulator: Emulated, http: httpx2.AsyncClient, scenario: str) -> ModelClient:
    """Return Gemini as a scenario has it."""
    return connect(Provider(wire="gemini", base_url=emulator.url(scenario)), KEY, http)


def request(*messages: ChatMessage, streamed: bool = False, **options: Any) -> ChatRequest:
    """Return a request; a greeting when nothing is said."""
    hello = ChatMessage(role="user", parts=[Text(text='Look at {"thing_id": "t-7"}')])
    return ChatRequest(
        model=MODEL,
        messages=list(messages) or [hello],
        stream=StreamOptions(on=streamed),
        **options,
    )


async def taken(client: ModelClient, asked: ChatRequest) -> tuple[Assembly, list[AnswerEvent]]:
    """Return a whole answer and the events that made it."""
    assembly, events = Assembly(), list[AnswerEvent]()
    async for event in client.answer(asked):
        assembly.take(event)
        events.append(event)
    return assembly, events


def text_of(parts: Sequence[Part]) -> str:
    """Return all text of an answer."""
    return "".join(part.text for part in parts if isinstance(part, Text))


@both_ways
async def test_an_answer_arrives_whole(
    emulator: Emulated, http: httpx2.AsyncClient, *, streamed: bool
) -> None:
    """Text, end, usage, model and tier, by one request."""
    scenario = f"ok+id.whole-{streamed}"
    answer, _ = await taken(gemini(emulator, http, scenario), request(streamed=streamed))
    assert answer.message().parts == [Text(text="Hello from the emulator.")]
    assert answer.began == Began(
        model=MODEL, ids={"response": "resp-emulated-01"}, service_tier="standard"
    )
    assert answer.stopped is not None
    assert answer.stopped.stop.reason == "end"
    assert answer.usage is not None
    assert (answer.usage.input_total, answer.usage.output_total) == (25, 15)
    assert len(emulator.log(scenario=scenario)) == 1


async def test_the_key_travels_in_its_header_only(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """An address ends up in logs."""
    await taken(gemini(emulator, http, "ok+id.key"), request())
    (entry,) = emulator.log(scenario="ok+id.key")
    assert entry["headers"].pop("x-goog-api-key") == KEY.get_secret_value()
    assert KEY.get_secret_value() not in str(entry)


@both_ways
@pytest.mark.parametrize("scenario", ["comments", "crlf", "split-utf8", "comments+crlf+split-utf8"])
async def test_the_form_of_the_stream_does_not_matter(
    emulator: Emulated, http: httpx2.AsyncClient, scenario: str, *, streamed: bool
) -> None:
    """Comments, line ends and cuts within a letter change no word."""
    answer, events = await taken(gemini(emulator, http, scenario), request(streamed=streamed))
    tricky = 'Grüße, 世界 😀 "quoted" \\ and\ndone 🏁'
    assert text_of(answer.message().parts) == (
        tricky if "split" in scenario else "Hello from the emulator."
    )
    assert (Alive() in events) == (streamed and "comments" in scenario)


async def test_a_thousand_pieces_are_one_text(emulator: Emulated, http: httpx2.AsyncClient) -> None:
    """None is lost, none comes twice."""
    answer, _ = await taken(gemini(emulator, http, "burst.1000"), request(streamed=True))
    expected = "".join(f"{number} " for number in range(1_000))
    assert answer.message().parts == [Text(text=expected)]


@both_ways
async def test_thoughts_are_shown_when_asked_for(
    emulator: Emulated, http: httpx2.AsyncClient, *, streamed: bool
) -> None:
    """They are reasoning, and part of the output."""
    answer, _ = await taken(
        gemini(emulator, http, "reasoning"),
        request(streamed=streamed, reasoning=ReasoningOptions(display="full")),
    )
    parts = answer.message().parts
    assert parts[0] == Reasoning(text="First I look, then I answer.")
    assert text_of(parts) == "Hello from the emulator."
    assert answer.usage is not None
    assert (answer.usage.output_total, answer.usage.output_reasoning) == (22, 7)


@both_ways
@pytest.mark.parametrize(
    ("scenario", "reason"), [("refusal", "content_filter"), ("max-tokens", "max_tokens")]
)
async def test_an_answer_says_why_it_ended(
    emulator: Emulated, http: httpx2.AsyncClient, scenario: str, reason: str, *, streamed: bool
) -> None:
    """A blocked prompt has no candidate, and is no error."""
    answer, _ = await taken(gemini(emulator, http, scenario), request(streamed=streamed))
    assert answer.stopped is not None
    assert answer.stopped.stop.reason == reason


@both_ways
async def test_usage_that_is_not_told_is_not_made_up(
    emulator: Emulated, http: httpx2.AsyncClient, *, streamed: bool
) -> None:
    """The router estimates; the adapter does not."""
    answer, _ = await taken(gemini(emulator, http, "no-usage"), request(streamed=streamed))
    assert answer.usage is None


@both_ways
async def test_cached_tokens_are_part_of_the_input(
    emulator: Emulated, http: httpx2.AsyncClient, *, streamed: bool
) -> None:
    """100 of 225 tokens came from the cache."""
    answer, _ = await taken(gemini(emulator, http, "cached"), request(streamed=streamed))
    assert answer.usage is not None
    usage = answer.usage
    assert (usage.input_total, usage.cache_read, usage.input_uncached) == (225, 100, 125)


@both_ways
async def test_a_call_and_its_result_go_there_and_back(
    emulator: Emulated, http: httpx2.AsyncClient, *, streamed: bool
) -> None:
    """The emulator refuses a call whose signature is missing or moved, as Gemini does."""
    client = gemini(emulator, http, "agent+split-utf8")
    again = LOOK.__class__(name="again", description="Looks again.", parameters=LOOK.parameters)
    first = request(streamed=streamed, tools=[LOOK, again])
    asked, _ = await taken(client, first)
    assert asked.stopped is not None
    assert asked.stopped.stop.reason == "tool_use"
    calls = [part for part in asked.message().parts if isinstance(part, ToolCall)]
    assert [(call.name, call.args_json) for call in calls] == [
        ("look", '{"thing_id":"t-7"}'),
        ("again", '{"thing_id":"t-7"}'),
    ]
    results = [
        ChatMessage(
            role="tool",
            parts=[ToolResult(tool_call_id=call.id, name=call.name, content='{"seen": 1}')],
        )
        for call in reversed(calls)
    ]
    second = request(*first.messages, asked.message(), *results, streamed=streamed, tools=[LOOK])
    reported, _ = await taken(client, second)
    assert text_of(reported.message().parts).startswith("# Report\n\n2 results.")


async def test_a_call_of_another_model_is_taken_over(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """A run may move here in the middle of a turn."""
    call = ToolCall(id="toolu_1", name="look", args_json='{"thing_id": "t-7"}')
    result = ToolResult(tool_call_id="toolu_1", name="look", content="seen")
    answer, _ = await taken(
        gemini(emulator, http, "agent"),
        request(
            ChatMessage(role="user", parts=[Text(text="look")]),
            ChatMessage(role="assistant", parts=[call]),
            ChatMessage(role="tool", parts=[result]),
            tools=[LOOK],
        ),
    )
    assert "seen" in text_of(answer.message().parts)


async def test_options_reach_the_provider_and_are_told_when_they_do_not(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """What has a word is sent, what has none is warned of."""
    options = {"gemini": {"safetySettings": [{"category": "HARM_CATEGORY_HARASSMENT"}]}}
    answer, _ = await taken(
        gemini(emulator, http, "ok+id.options"),
        request(sampling=Sampling(temperature=0.5), provider_options=options, service_tier="gold"),
    )
    (entry,) = emulator.log(scenario="ok+id.options")
    assert entry["body"]["generationConfig"] == {"temperature": 0.5}
    assert entry["body"]["safetySettings"] == options["gemini"]["safetySettings"]
    assert len(answer.began.warnings) == 1


@both_ways
async def test_what_the_interface_has_no_place_for_is_refused_with_its_place(
    emulator: Emulated, http: httpx2.AsyncClient, *, streamed: bool
) -> None:
    """Nothing is sent then."""
    client = gemini(emulator, http, "ok+id.place")
    tool = Tool(name="no_such", description="", kind="server")
    with pytest.raises(ModelCallError, match=r"`tools\.noSuch`") as caught:
        await taken(client, request(streamed=streamed, tools=[tool]))
    assert caught.value.error == "bad_request"
    assert emulator.log(scenario="ok+id.place") == []


async def test_the_whole_request_is_counted(emulator: Emulated, http: httpx2.AsyncClient) -> None:
    """Instructions and tools are input as well."""
    system = ChatMessage(role="system", parts=[Text(text="be brief")])
    user = ChatMessage(role="user", parts=[Text(text="hi")])
    counted = await gemini(emulator, http, "ok+id.count").count(request(system, user, tools=[LOOK]))
    (entry,) = emulator.log(scenario="ok+id.count")
    whole = entry["body"]["generateContentRequest"]
    assert counted is not None
    assert counted > 0
    assert set(whole) == {"model", "contents", "systemInstruction", "tools"}


async def test_texts_become_vectors_in_their_order(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """More texts than one call takes are several calls."""
    texts = ["x" * number for number in range(1, 151)]
    client = gemini(emulator, http, "ok+id.embed")
    embedded = await client.embed(texts, model="gemini-embedding-001", dimensions=3)
    assert [vector[0] for vector in embedded.vectors] == [float(len(text)) for text in texts]
    assert {len(vector) for vector in embedded.vectors} == {3}
    assert len(emulator.log(scenario="ok+id.embed")) == 2
    assert embedded.usage.source == "estimated"
    assert embedded.usage.input_total > 0


async def test_texts_of_the_newest_model_are_not_joined(
    emulator: Emulated, http: httpx2.AsyncClient
) -> None:
    """The library would take several texts for one content there."""
    client = gemini(emulator, http, "ok")
    embedded = await client.embed(["a", "bb"], model="gemini-embedding-2", dimensions=0)
    assert [vector[0] for vector in embedded.vectors] == [1.0, 2.0]


async def test_a_probe_asks_for_the_models(emulator: Emulated, http: httpx2.AsyncClient) -> None:
    """It costs nothing."""
    await gemini(emulator, http, "ok+id.probe").probe()
    (entry,) = emulator.log(scenario="ok+id.probe")
    assert (entry["operation"], entry["query"]) == ("models", "pageSize=1")


@pytest.mark.parametrize("operation", ["count", "embed", "probe"])
async def test_every_operation_tells_its_errors_alike(
    emulator: Emulated, http: httpx2.AsyncClient, operation: str
) -> None:
    """Whoever calls needs one way to understand them."""
    client = gemini(emulator, http, "error.429.ra7")
    calls = {
        "count": lambda: client.count(request()),
        "embed": lambda: client.embed(["a"], model="m", dimensions=0),
        "probe": client.probe,
    }
    with pytest.raises(ModelCallError) as caught:
        await calls[operation]()
    assert (caught.value.error, caught.value.retry_after_s) == ("rate_limited", 7)


async def test_a_server_that_wants_no_key_gets_none_of_the_environment(
    emulator: Emulated, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The library would send a key it finds to whatever address is configured."""
    monkeypatch.setenv("GEMINI_API_KEY", KEY.get_secret_value())
    provider = Provider(wire="gemini", base_url=emulator.url("ok+id.keyless"))
    await taken(connect(provider, None, http), request())
    (entry,) = emulator.log(scenario="ok+id.keyless")
    assert KEY.get_secret_value() not in str(entry)
