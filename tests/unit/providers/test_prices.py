"""Does every call cost what its provider's price list says?

The expected amounts are computed by hand from the price lists.
"""

import subprocess
import sys
from datetime import UTC, datetime
from decimal import Decimal
from typing import Final

import pytest
from genai_prices import Usage as TableUsage
from genai_prices import calc_price
from hypothesis import given
from hypothesis import strategies as st

from segue_contracts.v1.metering import CacheWrites, Cost, Usage
from segue_providers.core.configuration import Model, Price, Provider
from segue_providers.core.ledger import plain
from segue_providers.shell.prices import Prices
from segue_shared.clock import SystemClock

NOW: Final = datetime(2026, 11, 21, tzinfo=UTC)
PROVIDERS: Final = {
    "claude": Provider(wire="anthropic"),
    "gemini": Provider(wire="gemini"),
    "openai": Provider(wire="openai-responses"),
    "chat": Provider(wire="openai-chat"),
    "fast": Provider(wire="openai-chat", base_url="https://api.groq.com/openai/v1"),
    "deepseek": Provider(wire="openai-chat", base_url="http://127.0.0.1:1/v1"),
    "offline": Provider(wire="offline"),
    "vllm": Provider(
        wire="openai-chat",
        base_url="http://127.0.0.1:1/v1",
        models={
            "own": Model(
                price=Price(
                    input=Decimal(1),
                    output=Decimal(2),
                    cache_read=Decimal("0.1"),
                    cache_write=Decimal("1.25"),
                )
            ),
            "simple": Model(price=Price(input=Decimal(1), output=Decimal(2))),
            "free": Model(price=Price()),
            "bare": Model(),
        },
    ),
}


class Clock(SystemClock):
    """A clock that is set by hand."""

    def __init__(self, now: datetime = NOW) -> None:
        self.now = now

    def now_ms(self) -> int:
        """Return what was set."""
        return int(self.now.timestamp() * 1000)


@pytest.fixture
def prices() -> Prices:
    """The prices of a certain day."""
    return Prices(PROVIDERS, clock=Clock())


def cached(*, read: int, writes: CacheWrites, new: int, output: int) -> Usage:
    """Return usage of a call with a prompt cache."""
    wrote = writes.five_minutes + writes.one_hour + writes.other
    return Usage(
        input_total=new + read + wrote,
        input_uncached=new,
        cache_read=read,
        cache_write=writes,
        output_total=output,
    )


def usd(prices: Prices, provider: str, model: str, usage: Usage, tier: str = "") -> str:
    """Return what a call costs, which must be known for sure."""
    found = prices.cost(provider, model, usage=usage, service_tier=tier)
    assert found.warning == ""
    return found.cost.usd


def test_claude_reads_and_writes_of_its_cache_have_their_prices(prices: Prices) -> None:
    """100 new, 1,000 read, 1,000 written for 5 minutes and for an hour each, 50 answered."""
    usage = cached(
        read=1_000, writes=CacheWrites(five_minutes=1_000, one_hour=1_000), new=100, output=50
    )
    # (100 x 5 + 1000 x 0.5 + 1000 x 6.25 + 1000 x 10 + 50 x 25) / 1,000,000
    assert usd(prices, "claude", "claude-opus-4-5", usage) == "0.0185"


def test_writes_beyond_the_told_lifetimes_are_charged(prices: Prices) -> None:
    """Tools that the provider runs write more than the first event of a stream says."""
    usage = cached(
        read=0,
        writes=CacheWrites(five_minutes=1_000, one_hour=500, other=1_500),
        new=0,
        output=0,
    )
    # (1000 x 6.25 + 500 x 10 + 1500 x 6.25) / 1,000,000
    assert usd(prices, "claude", "claude-opus-4-5", usage) == "0.020625"


def test_openai_writes_of_its_cache_are_not_dropped(prices: Prices) -> None:
    """100 new, 600 read, 300 written, 20 answered."""
    usage = cached(read=600, writes=CacheWrites(other=300), new=100, output=20)
    # (100 x 2 + 600 x 0.2 + 300 x 2.5 + 20 x 10) / 1,000,000
    assert usd(prices, "openai", "gpt-6-sol", usage) == "0.00127"


def test_gemini_thoughts_are_output_and_cached_tokens_are_part_of_the_prompt(
    prices: Prices,
) -> None:
    """1,000 asked, 800 of them cached; 100 answered, 60 of them thoughts."""
    usage = Usage(input_total=1_000, cache_read=800, output_total=100, output_reasoning=60)
    # (200 x 1.25 + 800 x 0.125 + 100 x 10) / 1,000,000
    assert usd(prices, "gemini", "gemini-2.5-pro", usage) == "0.00135"


@pytest.mark.parametrize(("tokens", "expected"), [(200_000, "0.615"), (200_001, "1.222506")])
def test_a_long_context_costs_its_own_price(prices: Prices, tokens: int, expected: str) -> None:
    """200,000 x 3 + 1,000 x 15; one token more: 200,001 x 6 + 1,000 x 22.5."""
    usage = Usage(input_total=tokens, output_total=1_000)
    assert usd(prices, "claude", "claude-sonnet-4-5", usage) == expected


def test_a_hit_of_the_cache_costs_less_than_a_miss(prices: Prices) -> None:
    """A logged cost must not rise with the share of cached tokens."""
    costs = [
        Decimal(
            usd(
                prices,
                "openai",
                "gpt-5.2",
                Usage(input_total=10_000, cache_read=read, output_total=10),
            )
        )
        for read in (0, 5_000, 10_000)
    ]
    assert costs == sorted(costs, reverse=True)
    assert len(set(costs)) == 3


def test_a_call_that_broke_off_is_charged_for_what_it_used(prices: Prices) -> None:
    """Partial usage costs what it says."""
    usage = Usage(input_total=1_000, output_total=3, source="partial")
    # (1000 x 1.75 + 3 x 14) / 1,000,000
    assert usd(prices, "openai", "gpt-5.2", usage) == "0.001792"


@pytest.mark.parametrize(
    ("tier", "expected"), [("", "0.00315"), ("default", "0.00315"), ("flex", "0.001575")]
)
def test_a_service_tier_has_its_price(prices: Prices, tier: str, expected: str) -> None:
    """1,000 x 1.75 + 100 x 14, or half of both."""
    usage = Usage(input_total=1_000, output_total=100)
    assert usd(prices, "openai", "gpt-5.2", usage, tier) == expected


def test_a_batch_costs_half(prices: Prices) -> None:
    """1,000 x 2.5 + 100 x 12.5."""
    usage = Usage(input_total=1_000, output_total=100)
    assert usd(prices, "claude", "claude-opus-4-5", usage, "batch") == "0.00375"


def test_a_faster_answer_of_claude_costs_more(prices: Prices) -> None:
    """Claude tells with its usage how fast it was: 1,000 x 8 + 100 x 40."""
    usage = Usage(input_total=1_000, output_total=100, raw={"speed": "fast"})
    assert usd(prices, "claude", "claude-opus-5-5", usage) == "0.012"


def test_an_unknown_tier_is_told(prices: Prices) -> None:
    """The standard price counts then."""
    usage = Usage(input_total=1_000)
    found = prices.cost("claude", "claude-opus-4-5", usage=usage, service_tier="gold")
    assert found.cost.usd == "0.005"
    assert "gold" in found.warning


def test_searches_of_the_web_are_charged_by_the_call(prices: Prices) -> None:
    """Three at 10 dollars a thousand, and 1,000 tokens."""
    usage = Usage(input_total=1_000, server_tools={"web_search": 3})
    assert usd(prices, "claude", "claude-opus-4-5", usage) == "0.035"


def test_prices_of_the_configuration_win_and_count_nothing_twice(prices: Prices) -> None:
    """(100 x 1 + 800 x 0.1 + 100 x 1.25 + 10 x 2) / 1,000,000."""
    usage = cached(read=800, writes=CacheWrites(five_minutes=100), new=100, output=10)
    found = prices.cost("vllm", "own", usage=usage)
    assert found.cost == Cost(usd="0.000325", price_version="configuration")


def test_a_configured_price_without_a_cache_charges_all_as_input(prices: Prices) -> None:
    """(1,000 x 1 + 10 x 2) / 1,000,000."""
    usage = cached(read=800, writes=CacheWrites(five_minutes=100), new=100, output=10)
    assert usd(prices, "vllm", "simple", usage) == "0.00102"


def test_what_is_configured_as_free_is_free_without_a_warning(prices: Prices) -> None:
    """Someone said so."""
    found = prices.cost("vllm", "free", usage=Usage(input_total=1_000))
    assert found.cost == Cost(usd="0", price_version="configuration")
    assert found.warning == ""


def test_the_stand_in_is_free(prices: Prices) -> None:
    """Nobody is paid for it."""
    found = prices.cost("offline", "offline", usage=Usage(input_total=1_000))
    assert (found.cost, found.warning) == (Cost(), "")


@pytest.mark.parametrize(
    ("provider", "model"),
    [
        ("vllm", "bare"),
        ("vllm", "none"),
        ("claude", "none"),
        ("gone", "x"),
        ("openai", "whisper-1"),
    ],
)
def test_what_has_no_price_is_never_silently_free(
    prices: Prices, provider: str, model: str
) -> None:
    """The caller is told, and told the way out."""
    found = prices.cost(provider, model, usage=Usage(input_total=1_000))
    assert found.cost == Cost(usd="0", price_version="")
    assert f"providers.{provider}.models.{model}.price" in found.warning
    assert prices.most(provider, model, input_tokens=1, max_output=1) is None


def test_the_model_that_served_is_what_is_charged(prices: Prices) -> None:
    """A name that is known only to its provider stands for a dated model."""
    usage = Usage(input_total=1_000)
    found = prices.cost("claude", "my-own", usage=usage, served="claude-opus-4-5-20251101")
    assert found.cost.usd == "0.005"
    other = prices.cost("gemini", "models/gemini-2.5-pro", usage=usage, served="odd")
    assert other.cost.usd == "0.00125"


@pytest.mark.parametrize(
    ("provider", "model"),
    [("chat", "gpt-5.2"), ("fast", "llama-3.3-70b-versatile"), ("deepseek", "deepseek-chat")],
)
def test_a_compatible_server_is_known_by_address_or_name(
    prices: Prices, provider: str, model: str
) -> None:
    """Its address counts first, then the name that it was given."""
    assert Decimal(usd(prices, provider, model, Usage(input_total=1_000))) > 0


def test_the_cost_says_where_its_prices_are_from(prices: Prices) -> None:
    """So that it can be computed again."""
    found = prices.cost("claude", "claude-opus-4-5", usage=Usage(input_total=1))
    assert found.cost.price_version.startswith("genai-prices ")


def test_prices_change_on_their_day() -> None:
    """1,000 tokens at 0.75 dollars for a million, from 2027 on at 1.5."""
    clock = Clock()
    prices = Prices(PROVIDERS, clock=clock)
    usage = Usage(input_total=1_000)
    assert usd(prices, "gemini", "gemini-3.8-flash", usage) == "0.00075"
    clock.now = datetime(2027, 1, 1, tzinfo=UTC)
    assert usd(prices, "gemini", "gemini-3.8-flash", usage) == "0.0015"


def test_names_that_callers_invent_do_not_pile_up(prices: Prices) -> None:
    """What is remembered is bounded, and still right."""
    for number in range(1_100):
        prices.cost("claude", f"none-{number}", usage=Usage())
    assert len(prices._tariffs) < 1_100
    assert usd(prices, "claude", "claude-opus-4-5", Usage(input_total=1_000)) == "0.005"


def test_a_call_can_cost_so_much_at_most(prices: Prices) -> None:
    """All input written for an hour: 1,000 x 10 + 100 x 25."""
    bound = prices.most("claude", "claude-opus-4-5", input_tokens=1_000, max_output=100)
    assert bound == Decimal("0.0125")


@pytest.mark.parametrize(
    ("amount", "text"),
    [("0E-9", "0"), ("1E-7", "0.0000001"), ("100", "100"), ("0.0120", "0.012")],
)
def test_amounts_are_written_plainly(amount: str, text: str) -> None:
    """No exponent, no needless zeros."""
    assert plain(Decimal(amount)) == text


@pytest.mark.parametrize(
    ("provider", "vendor", "model"),
    [
        ("claude", "anthropic", "claude-sonnet-4-5"),
        ("claude", "anthropic", "claude-haiku-5-5"),
        ("openai", "openai", "gpt-5.6-sol"),
        ("openai", "openai", "gpt-5.5"),
        ("gemini", "google", "gemini-3-pro-preview"),
    ],
)
@given(st.lists(st.integers(0, 400_000), min_size=6, max_size=6))
def test_any_usage_costs_what_the_table_says(
    provider: str, vendor: str, model: str, used: list[int]
) -> None:
    """Our arithmetic and that of the table's authors agree to the last digit."""
    new, read, short, long, output, thought = used
    usage = cached(
        read=read,
        writes=CacheWrites(five_minutes=short, one_hour=long),
        new=new,
        output=output + thought,
    )
    expected = calc_price(
        TableUsage(
            input_tokens=usage.input_total,
            cache_read_tokens=read,
            cache_write_tokens=short + long,
            cache_write_5m_tokens=short,
            cache_write_1h_tokens=long,
            output_tokens=output + thought,
            output_reasoning_tokens=thought,
        ),
        model,
        provider_id=vendor,
        genai_request_timestamp=NOW,
    )
    found = Prices(PROVIDERS, clock=Clock()).cost(provider, model, usage=usage)
    assert Decimal(found.cost.usd) == expected.total_price


def test_the_table_is_read_only_when_it_is_needed() -> None:
    """A process that prices nothing does not pay for it."""
    program = (
        "import sys; from segue_providers.shell.prices import Prices; prices = Prices({});"
        "print('genai_prices' in sys.modules)"
    )
    shown = subprocess.run([sys.executable, "-c", program], capture_output=True, check=True)
    assert shown.stdout.split() == [b"False"]
