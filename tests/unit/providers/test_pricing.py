"""Is every token of a call charged once, at its own price?"""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segue_contracts.v1.metering import CacheWrites, Usage
from segue_providers.core.pricing import (
    CACHE_READ,
    CACHE_WRITE,
    INPUT,
    OUTPUT,
    Rate,
    Tariff,
    charge,
    counted,
    most,
    tariff,
    written,
)

CALL = frozenset({("family", "requests")})
AUDIO = INPUT | {("modality", "audio")}
AUDIO_READ = CACHE_READ | {("modality", "audio")}


def rate(unit: str, covers: frozenset[tuple[str, str]], usd: str, **more: object) -> Rate:
    """Return a price for a million."""
    return Rate(unit=unit, covers=covers, per=1_000_000, price=Decimal(usd), **more)  # type: ignore[arg-type] - tiers


PLAIN = tariff(
    [
        rate("input_tokens", INPUT, "4"),
        rate("output_tokens", OUTPUT, "20"),
        rate("cache_read_tokens", CACHE_READ, "0.5"),
        rate("cache_write_tokens", CACHE_WRITE, "5"),
    ],
    version="1",
)
TIERED = tariff(
    [
        rate("input_tokens", INPUT, "1", tiers=((100, Decimal(2)), (200, Decimal(3)))),
        rate("output_tokens", OUTPUT, "10", tiers=((200, Decimal(15)),)),
        Rate(unit="requests", covers=CALL, per=1_000, price=Decimal(1)),
    ],
    version="1",
)
SPOKEN = tariff(
    [
        rate("input_tokens", INPUT, "1"),
        rate("cache_read_tokens", CACHE_READ, "0.1"),
        rate("input_audio_tokens", AUDIO, "10"),
        rate("cache_audio_read_tokens", AUDIO_READ, "4"),
    ],
    version="1",
)


def test_cached_tokens_are_charged_once() -> None:
    """Of 1,000 tokens 600 are read, 300 written and 100 new."""
    usage = Usage(
        input_total=1_000,
        input_uncached=100,
        cache_read=600,
        cache_write=CacheWrites(other=300),
        output_total=10,
    )
    # 100 x 4 + 600 x 0.5 + 300 x 5 + 10 x 20 = 2,400 of a million
    assert charge(PLAIN, usage) == Decimal("0.0024")


def test_without_a_price_of_their_own_cached_tokens_are_input() -> None:
    """They are never free."""
    simple = tariff([rate("input_tokens", INPUT, "4")], version="1")
    usage = Usage(input_total=1_000, cache_read=900, output_total=5)
    assert charge(simple, usage) == Decimal("0.004")


def test_parts_that_exceed_their_whole_are_charged_all_the_same() -> None:
    """A provider that counts cached tokens beside the total is not understood as a refund."""
    usage = Usage(input_total=10, cache_read=1_000)
    assert charge(PLAIN, usage) == Decimal("0.0005")


@pytest.mark.parametrize(
    ("tokens", "usd"), [(100, "0.0011"), (101, "0.001202"), (200, "0.0014"), (201, "0.001603")]
)
def test_beyond_a_threshold_all_tokens_cost_the_higher_price(tokens: int, usd: str) -> None:
    """The threshold itself still has the lower one; a call costs a thousandth beside."""
    assert charge(TIERED, Usage(input_total=tokens)) == Decimal(usd)


def test_cached_sound_is_charged_as_the_provider_tells() -> None:
    """40 of 100 tokens of sound and 60 of 300 others were cached."""
    details = [{"modality": "AUDIO", "tokenCount": 40}, {"modality": "TEXT", "tokenCount": 60}]
    usage = Usage(
        input_total=400,
        cache_read=100,
        input_by_modality={"audio": 100, "text": 300, "smell": 1},
        raw={"cacheTokensDetails": details},
    )
    # 60 x 10 + 40 x 4 + 60 x 0.1 + 240 x 1
    assert charge(SPOKEN, usage) == Decimal("0.001006")


@pytest.mark.parametrize("raw", [None, {}, {"cacheTokensDetails": None}])
def test_cached_sound_that_is_not_told_counts_as_dear_as_it_can_be(raw: object) -> None:
    """350 of 400 tokens were cached, so at least 50 of the 100 of sound were."""
    usage = Usage(input_total=400, cache_read=350, input_by_modality={"audio": 100}, raw=raw)
    # 50 x 10 + 50 x 4 + 300 x 0.1
    assert charge(SPOKEN, usage) == Decimal("0.00073")


def test_sound_without_a_cache_is_charged_apart() -> None:
    """The rest is plain input; a document counts as images."""
    usage = Usage(
        input_total=400,
        input_by_modality={"audio": 100, "document": 20, "image": 10},
        output_by_modality={"image": 7},
    )
    assert charge(SPOKEN, usage) == Decimal("0.0013")
    assert counted(usage)["input_image_tokens"] == 30
    assert counted(usage)["output_image_tokens"] == 7


def test_tools_that_the_provider_ran_are_counted_in_their_units() -> None:
    """Two names of one tool are one unit; unknown tools have none."""
    usage = Usage(server_tools={"web_search": 2, "web_search_requests": 1, "oracle": 5})
    assert counted(usage)["web_searches"] == 3
    assert "oracle" not in counted(usage)


def test_every_lifetime_of_a_cache_is_written() -> None:
    """A lifetime without a price of its own is charged as any write."""
    writes = CacheWrites(five_minutes=1, thirty_minutes=2, one_hour=4, twelve_hours=8, other=16)
    assert written(writes) == 31
    assert counted(Usage(cache_write=writes))["cache_write_tokens"] == 31


@pytest.mark.parametrize("of", [PLAIN, TIERED, SPOKEN])
@given(used=st.lists(st.integers(0, 300_000), min_size=5, max_size=5))
def test_a_call_never_costs_more_than_foretold(of: Tariff, used: list[int]) -> None:
    """Whatever of its input was cached, new or sound."""
    new, read, wrote, sound, answered = used
    usage = Usage(
        input_total=new + read + wrote + sound,
        cache_read=read,
        cache_write=CacheWrites(five_minutes=wrote),
        input_by_modality={"audio": sound},
        output_total=answered,
    )
    bound = most(of, input_tokens=usage.input_total, max_output=usage.output_total)
    assert charge(of, usage) <= bound


def test_an_empty_tariff_charges_nothing() -> None:
    """Its bound is nothing too."""
    free = tariff((), version="")
    assert charge(free, Usage(input_total=5, output_total=5)) == 0
    assert most(free, input_tokens=5, max_output=5) == 0
