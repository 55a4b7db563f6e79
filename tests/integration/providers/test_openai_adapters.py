"""Do OpenAI's adapters, with the vendor's own library, read every answer?"""

import asyncio
from dataclasses import replace

import httpx2
import pytest
from support.emulating import Emulated
from support.emulator_script import TEXT, TRICKY, TRICKY_ARGS
from support.openai_clients import (
    CHAT,
    HELLO,
    LOCAL,
    RESPONSES,
    WEATHER,
    Clients,
    Kind,
    answered,
    asking,
    bare,
    clients_of,
    every_kind,
    every_stream,
    vendors,
)

from segue_contracts.v1.chat import (
    ChatMessage,
    OutputFormat,
    OutputOptions,
    Reasoning,
    ReasoningOptions,
    Refusal,
    Sampling,
    Text,
    ToolCall,
    ToolResult,
)
from segue_contracts.v1.metering import CacheWrites
from segue_providers.shell.ports import ModelCallError

pytestmark = pytest.mark.asyncio(loop_scope="module")


@pytest.fixture
def client(emulator: Emulated, http: httpx2.AsyncClient) -> Clients:
    """Connect to a scenario."""
    return clients_of(emulator, http)


@every_kind
@pytest.mark.parametrize("trait", ["ok", "comments", "crlf", "no-usage", "slow.2", "cached"])
async def test_an_answer_is_read_whatever_it_is_wrapped_in(
    client: Clients, kind: Kind, trait: str
) -> None:
    """Comments, line endings and pauses change nothing, and usage may be missing."""
    read = await answered(client(kind, trait), asking(kind))

    assert bare(read) == [Text(text="".join(TEXT))]
    assert read.stopped is not None
    assert read.stopped.stop.reason == "end"
    assert read.began.model == kind.model
    assert read.began.ids["request"] == "req_emulated02"
    assert read.began.rate_limit["x-ratelimit-remaining-requests"] == "499"
    assert (read.usage is None) is (trait == "no-usage")


@every_kind
async def test_text_and_arguments_survive_being_cut_anywhere(client: Clients, kind: Kind) -> None:
    """Sequences of UTF-8 and escapes of JSON come in pieces."""
    text = await answered(client(kind, "split-utf8"), asking(kind))
    tools = await answered(client(kind, "tools+split-utf8"), asking(kind, tools=[WEATHER]))

    assert bare(text) == [Text(text="".join(TRICKY))]
    assert bare(tools)[1] == ToolCall(id="call_01", name="weather", args_json=TRICKY_ARGS)


@every_kind
async def test_a_thousand_pieces_are_one_text(client: Clients, kind: Kind) -> None:
    """A burst loses nothing."""
    read = await answered(client(kind, "burst.1000"), asking(kind))

    assert bare(read) == [Text(text="".join(f"{number} " for number in range(1000)))]


@every_kind
async def test_a_limit_of_output_ends_an_answer(client: Clients, kind: Kind) -> None:
    """The answer is whole, and says why it is short."""
    request = asking(kind, output=OutputOptions(max_tokens=16))
    read = await answered(client(kind, "max-tokens"), request)

    assert read.stopped is not None
    assert read.stopped.stop.reason == "max_tokens"


@every_kind
async def test_a_refusal_is_read_as_one(client: Clients, kind: Kind) -> None:
    """It is neither text nor an error."""
    read = await answered(client(kind, "refusal"), asking(kind))

    assert bare(read) == [Refusal(text="I can't help with that.")]
    assert read.stopped is not None
    assert read.stopped.stop.reason == "refusal"


@vendors
async def test_usage_tells_what_was_cached_and_reasoned(client: Clients, kind: Kind) -> None:
    """Totals include both."""
    cached = (await answered(client(kind, "cached"), asking(kind))).usage
    reasoned = (await answered(client(kind, "reasoning"), asking(kind))).usage

    assert cached is not None
    assert (cached.input_total, cached.input_uncached, cached.cache_read) == (225, 25, 100)
    written = CacheWrites(other=100)
    if kind.wire == "openai-responses":
        written = CacheWrites(thirty_minutes=40, twelve_hours=60)
    assert cached.cache_write == written
    assert reasoned is not None
    assert (reasoned.output_total, reasoned.output_reasoning) == (22, 7)


@every_kind
async def test_a_conversation_with_tools_goes_on(client: Clients, kind: Kind) -> None:
    """What came back is taken again as it was, reasoning included."""
    model = client(kind, "agent+reasoning")
    options = {"tools": [WEATHER], "reasoning": ReasoningOptions(display="summary")}
    first = await answered(model, asking(kind, **options, on_unsupported="drop"))
    calls = [part for part in first.message().parts if isinstance(part, ToolCall)]
    results = ChatMessage(
        role="tool",
        parts=[ToolResult(tool_call_id=one.id, name=one.name, content="sunny") for one in calls],
    )
    request = asking(kind, HELLO, first.message(), results, **options, on_unsupported="drop")
    second = await answered(model, request)

    assert [one.args_json for one in calls] == ['{"city": "Bonn"}']
    assert first.stopped is not None
    assert first.stopped.stop.reason == "tool_use"
    assert "- weather: sunny" in str(bare(second)[-1])


async def test_reasoning_is_sent_back_encrypted(client: Clients, emulator: Emulated) -> None:
    """The very item comes again, since nothing is stored at the provider."""
    model = client(RESPONSES, "reasoning+id.echo")
    shown = ReasoningOptions(display="summary")
    first = await answered(model, asking(RESPONSES, reasoning=shown))
    await answered(model, asking(RESPONSES, HELLO, first.message(), HELLO, reasoning=shown))
    item = emulator.log(scenario="reasoning+id.echo")[1]["body"]["input"][1]

    assert isinstance(first.message().parts[0], Reasoning)
    assert item["id"] == "rs_emulated0"
    assert item["encrypted_content"]
    assert item["summary"]


async def test_a_local_server_shows_its_reasoning(client: Clients) -> None:
    """It stands before the answer, and is not part of it."""
    read = await answered(client(LOCAL, "reasoning"), asking(LOCAL))

    assert [type(part) for part in read.message().parts] == [Reasoning, Text]


@vendors
async def test_every_option_is_taken_by_the_interface(client: Clients, kind: Kind) -> None:
    """Nothing that is sent is refused, and what was left out is told with the first event."""
    form = OutputFormat(type="json_schema", name="a city", json_schema=WEATHER.parameters)
    request = asking(
        kind,
        tools=[WEATHER],
        output=OutputOptions(max_tokens=99, format=form, verbosity="low", stop=["x"]),
        sampling=Sampling(temperature=0.5, seed=1, top_p=0.5, presence_penalty=1),
        reasoning=ReasoningOptions(mode="on"),
        service_tier="flex",
        metadata={"team": "a"},
    )
    read = await answered(client(kind, "ok"), request)

    assert read.stopped is not None
    assert any("`sampling.temperature`" in one for one in read.began.warnings)


@every_stream
@pytest.mark.parametrize("dimensions", [0, 4])
async def test_texts_become_vectors_in_their_order(
    client: Clients, kind: Kind, dimensions: int
) -> None:
    """Packed or as lists, in whatever order the provider answers."""
    model = client(kind, "ok")
    both = await model.embed(["a", "b"], model="embedder", dimensions=dimensions)
    alone = await model.embed(["a"], model="embedder", dimensions=dimensions)

    assert both.vectors[0] == alone.vectors[0] != both.vectors[1]
    assert [len(one) for one in both.vectors] == [dimensions or 8] * 2
    assert all(isinstance(number, float) for number in both.vectors[0])
    assert both.usage.input_total == 1


async def test_no_texts_are_no_vectors(client: Clients, emulator: Emulated) -> None:
    """Nothing is asked for them."""
    none = await client(CHAT, "ok+id.none").embed([], model="embedder", dimensions=0)

    assert none.vectors == []
    assert emulator.log(scenario="ok+id.none") == []


async def test_only_responses_count_tokens(client: Clients) -> None:
    """Where there is no such endpoint, nobody counts."""
    assert await client(RESPONSES, "ok").count(asking(RESPONSES, tools=[WEATHER]))
    assert await client(CHAT, "ok").count(asking(CHAT)) is None
    local = replace(RESPONSES, suffix="/local/v1", model="llama3.2")
    assert await client(local, "ok").count(asking(local)) is None


async def test_counting_fails_like_a_call(client: Clients) -> None:
    """Other errors are not hidden."""
    with pytest.raises(ModelCallError) as caught:
        await client(RESPONSES, "error.401").count(asking(RESPONSES))

    assert caught.value.error == "auth"


@every_stream
async def test_a_probe_asks_what_costs_nothing(client: Clients, kind: Kind) -> None:
    """It succeeds where models are listed, and tells the class of a refusal where not."""
    await client(kind, "ok").probe()
    with pytest.raises(ModelCallError) as caught:
        await client(kind, "error.503").probe()

    assert caught.value.error == "overloaded"


@every_kind
async def test_calls_at_once_do_not_meet(client: Clients, kind: Kind) -> None:
    """Every answer is its own."""
    model = client(kind, "split-utf8")
    answers = await asyncio.gather(*(answered(model, asking(kind)) for _ in range(20)))

    assert all(bare(one) == [Text(text="".join(TRICKY))] for one in answers)
