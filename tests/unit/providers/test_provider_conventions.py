"""Is a call to a model named in traces as others name it?"""

from segue_contracts.v1.chat import CacheWrites, CallAttempt, Cost, Stop, Usage
from segue_providers.core.conventions import facts_of, span_name

USAGE = Usage(
    input_total=120,
    cache_read=100,
    cache_write=CacheWrites(five_minutes=7, one_hour=5),
    output_total=30,
    output_reasoning=20,
)
ANSWERED = CallAttempt(
    number=1, provider="work", model="claude-x-1", usage=USAGE, cost=Cost(usd="0.02")
)
REFUSED = CallAttempt(number=1, provider="gemini", error="overloaded")


def test_an_answer_has_its_models_usage_and_end() -> None:
    """The provider is the vendor, whatever the configuration calls it."""
    facts = facts_of(
        ANSWERED, wire="anthropic", requested="claude-x", stop=Stop(reason="end", raw="end_turn")
    )

    assert span_name(ANSWERED) == "chat claude-x-1"
    assert facts == {
        "gen_ai.operation.name": "chat",
        "gen_ai.provider.name": "anthropic",
        "gen_ai.request.model": "claude-x",
        "gen_ai.response.model": "claude-x-1",
        "gen_ai.usage.input_tokens": 120,
        "gen_ai.usage.output_tokens": 30,
        "gen_ai.usage.cache_read.input_tokens": 100,
        "gen_ai.usage.cache_creation.input_tokens": 12,
        "gen_ai.usage.reasoning.output_tokens": 20,
        "gen_ai.response.finish_reasons": "end_turn",
        "segue.provider": "work",
        "segue.cost_usd": "0.02",
    }


def test_a_failure_has_its_class_and_no_end() -> None:
    """What is not known is left out."""
    facts = facts_of(REFUSED, wire="gemini", requested="gemini-x", stop=None)

    assert span_name(REFUSED) == "chat"
    assert facts["error.type"] == "overloaded"
    assert facts["gen_ai.provider.name"] == "gcp.gemini"
    assert not {"gen_ai.response.model", "gen_ai.response.finish_reasons"} & set(facts)


def test_a_compatible_server_is_named_as_it_is_configured() -> None:
    """Nobody knows whose models it serves."""
    facts = facts_of(ANSWERED, wire="openai-chat", requested="llama", stop=None)

    assert facts["gen_ai.provider.name"] == "work"
