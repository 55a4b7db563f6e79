"""The provider router: what does it add to a call, and how does it fare when providers fail?"""

import asyncio
import gc
import random
import re
import statistics
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any, Final, TypeVar

import psutil
import uvloop
from msgspec import structs
from nats.aio.msg import Msg

from bench.frame import Figure, figure
from bench.processes import cpu_seconds
from bench.provider_stand import CACHED, MODELS, Ask, Stand, asking, stand
from bench.provider_streams import bare_first_token_ms, watching
from segue_contracts.envelope import decode_event
from segue_contracts.v1 import subjects
from segue_contracts.v1.chat import CacheOptions, ChatRequest, StreamOptions
from segue_contracts.v1.registry import decode
from segue_contracts.v1.telemetry import ModelCalled
from segue_providers.core.catalogue import catalogue_of
from segue_providers.core.configuration import Configuration
from segue_providers.core.filters import Moment
from segue_providers.core.fleet import Fleet
from segue_providers.core.routing import decide
from segue_shared.ids import SystemIds

_IN_FLIGHT: Final = 64
_BACKOFFS_S: Final = 3.0
"""What the policy lets a call wait between three tries at one provider: up to 1 s, then up to 2."""
_WAIT: Final = re.compile(r"again in ([\d.]+) s")
_PROMPTS: Final = 1_000
_EXPONENT: Final = 1.1

_ids: Final = SystemIds()
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True)
class Timed:
    """Milliseconds of calls that took turns, by rounds."""

    ours: list[list[float]] = field(default_factory=list)
    bare: list[list[float]] = field(default_factory=list)

    def added(self, name: str, share: float, *, goal: float) -> Figure:
        """Return what is added at a percentile, with the bare call's own beside it."""
        bare = [percentile(one, share) for one in self.bare]
        ours = [percentile(one, share) for one in self.ours]
        more = [mine - theirs for mine, theirs in zip(ours, bare, strict=True)]
        return beside(figure(name, more, unit="ms", goal=goal, better="lower"), bare)


def percentile(values: Sequence[float], share: float) -> float:
    """Return the value that a share of all does not exceed."""
    return sorted(values)[min(int(len(values) * share), len(values) - 1)]


def beside(told: Figure, floors: Sequence[float]) -> Figure:
    """Return a figure that has a goal of its own, with a floor beside it."""
    floor = statistics.median(floors)
    return structs.replace(told, floor=round(floor, 3), ratio=round(told.value / floor, 3))


async def in_a_fast_loop(work: Callable[[], Coroutine[Any, Any, _T]]) -> _T:
    """Do something in an event loop like the service's, and with garbage collected as there.

    Otherwise the bare library would be slowed by what has nothing to do with it.
    """
    _collect_less()
    return await asyncio.to_thread(lambda: uvloop.run(work()))


def _collect_less() -> None:
    gc.freeze()
    gc.set_threshold(10_000)


async def timed_ms(work: Ask) -> float:
    """Return how long something takes."""
    begin = time.perf_counter()
    await work()
    return (time.perf_counter() - begin) * 1000


# What it adds to a call, and how many calls one process carries.


async def calls(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Return what the router adds to a call, and how many calls one process of it carries."""
    return await in_a_fast_loop(lambda: _calls(3 if quick else 9, 300 if quick else 1_000))


async def _calls(rounds: int, size: int) -> list[Figure]:
    figures: list[Figure] = []
    async with stand() as made:
        for provider in MODELS:
            await _latency(made, provider, 1, 200)
            figures += await _latency(made, provider, rounds, size)
            figures.append(await _first_token(made, provider, rounds, size))
            figures += await _throughput(made, provider, rounds, 2 * size)
    return figures


async def _latency(made: Stand, provider: str, rounds: int, size: int) -> list[Figure]:
    """Return what is added to calls one at a time, without and with an id."""
    plain, kept, bare = Timed(), Timed(), made.bare(provider)
    for _ in range(rounds):
        floor, ours, named = [], [], []
        for _ in range(size):
            floor.append(await timed_ms(bare))
            ours.append(await timed_ms(lambda: made.routed(asking(provider))))
            named.append(await timed_ms(partial(made.routed, asking(provider, id=_ids.unique()))))
        for one, samples in ((plain, ours), (kept, named)):
            one.bare.append(floor)
            one.ours.append(samples)
        made.emulator.reset()
    name = f"providers.{provider}"
    return [
        plain.added(f"{name}.added_p50", 0.5, goal=1),
        plain.added(f"{name}.added_p99", 0.99, goal=3),
        kept.added(f"{name}.added_with_id_p50", 0.5, goal=1),
        kept.added(f"{name}.added_with_id_p99", 0.99, goal=3),
    ]


async def _first_token(made: Stand, provider: str, rounds: int, size: int) -> Figure:
    taken = Timed()
    async with watching(made) as watcher:
        for _ in range(rounds):
            bare, ours = [], []
            for _ in range(size):
                bare.append(await bare_first_token_ms(made, provider))
                ours.append(await watcher.first_token_ms(provider))
            taken.bare.append(bare)
            taken.ours.append(ours)
            made.emulator.reset()
    return taken.added(f"providers.{provider}.first_token_added_p50", 0.5, goal=2)


async def _throughput(made: Stand, provider: str, rounds: int, size: int) -> list[Figure]:
    """Return the rate at saturation, by the clock and by the CPU time of the one process.

    The bare loop shares the cores with the emulator alone, the router with broker and caller too,
    so what the process can carry with a core of its own is told by its CPU time.
    """
    rates: list[float] = []
    floors: list[float] = []
    carried: list[float] = []
    bare_carried: list[float] = []
    for _ in range(rounds):
        before = time.process_time()
        seconds = await _saturated(made.bare(provider), size)
        bare_carried.append(size / (time.process_time() - before))
        floors.append(size / seconds)
        before = cpu_seconds([made.pid])
        seconds = await _saturated(lambda: made.routed(asking(provider)), size)
        carried.append(size / (cpu_seconds([made.pid]) - before))
        rates.append(size / seconds)
        made.emulator.reset()
    name = f"providers.{provider}.calls_per"
    pairs = (("cpu_s", carried, bare_carried), ("s", rates, floors))
    return [
        figure(f"{name}_{of}", ours, unit="/s", floors=bare, goal=0.7, better="higher")
        for of, ours, bare in pairs
    ]


async def _saturated(ask: Ask, size: int) -> float:
    """Return the seconds that so many calls take, 64 at a time."""
    left = iter(range(size))

    async def work() -> None:
        for _ in left:
            await ask()

    begin = time.perf_counter()
    async with asyncio.TaskGroup() as workers:
        for _ in range(_IN_FLIGHT):
            workers.create_task(work())
    return time.perf_counter() - begin


# The decision alone.


async def routing(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Return the CPU time of a decision among 5 providers, and among all of their 25 models."""
    _collect_less()
    rounds, size = (3, 2_000) if quick else (9, 20_000)
    return [
        _decision("providers.routing_us_p99", asking(), rounds, size),
        _decision("providers.routing_25_models_us_p99", asking(model="any"), rounds, size),
    ]


def _decision(name: str, request: ChatRequest, rounds: int, size: int) -> Figure:
    fleet, catalogue = Fleet(), catalogue_of(_five_by_five(), look=lambda *_: None, found={})
    moments = [Moment(now_ms=1_800_000_000_000 + n, draw=n / size) for n in range(size)]
    samples = []
    for _ in range(rounds):
        taken = []
        for moment in moments:
            begin = time.process_time()
            decided = decide(request, catalogue, fleet, moment)
            taken.append((time.process_time() - begin) * 1e6)
            if not decided.targets:
                raise RuntimeError(f"nobody can serve: {decided.way_out}")
        samples.append(percentile(taken, 0.99))
    return figure(name, samples, unit="us", goal=100, better="lower")


def _five_by_five() -> Configuration:
    models = [f"m{n}" for n in range(5)]
    providers = {
        f"p{n}": {
            "wire": "anthropic",
            "priority": n,
            "default_model": "m0",
            "models": {one: {"context_window": 200_000} for one in models},
        }
        for n in range(5)
    }
    every = [f"{name}/{model}" for model in models for name in providers]
    return Configuration.model_validate({"providers": providers, "aliases": {"any": every}})


# When a provider fails.


async def failover(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Return how long a call takes whose first provider fails."""
    return await in_a_fast_loop(lambda: _failover(20 if quick else 100))


async def _failover(size: int) -> list[Figure]:
    async with stand() as made:
        await _latency(made, "claude", 1, 100)
        numbers = count()
        figures = []
        for provider, name in (("gone", "refused"), ("ill", "5xx")):
            whole, direct = [], []
            for _ in range(size):
                direct.append(await timed_ms(lambda: made.routed(asking("claude"))))
                # A model's breaker stops asking for it after some failures, so each has its own.
                request = asking(f"{provider}/model-{next(numbers)}", "claude")
                whole.append(await timed_ms(partial(made.routed, request)))
            told = figure(
                f"providers.failover_{name}_ms", whole, unit="ms", goal=50, better="lower"
            )
            figures.append(beside(told, direct))
        figures += await _backed_off(made, numbers, size // 5)
    return figures


async def _backed_off(made: Stand, numbers: "count[int]", size: int) -> list[Figure]:
    """Return how long calls take that are retried at a provider that answers 500, twice."""
    waits: dict[str, float] = {}

    async def hear(message: Msg) -> None:
        body = decode(decode_event(message.data))
        if isinstance(body, ModelCalled) and (found := _WAIT.search(body.then)):
            waits[body.request] = waits.get(body.request, 0) + float(found[1])

    where = subjects.telemetry("default", "providers", "router", "model_called")
    hearing = await made.bus.subscribe(where, hear)
    requests = [
        asking(f"ailing/model-{next(numbers)}", "claude", id=_ids.unique()) for _ in range(size)
    ]
    taken_s = [
        ms / 1000
        for ms in await asyncio.gather(*(timed_ms(partial(made.routed, one)) for one in requests))
    ]
    await made.bus.settle()
    await hearing.unsubscribe()
    beyond = [(s - waits[one.id]) * 1000 for s, one in zip(taken_s, requests, strict=True)]
    return [
        figure(
            "providers.backed_off_5xx_slowest_s",
            [max(taken_s)],
            unit="s",
            goal=_BACKOFFS_S,
            better="lower",
        ),
        figure(
            "providers.backed_off_5xx_beyond_its_waits_ms",
            beyond,
            unit="ms",
            goal=50,
            better="lower",
        ),
    ]


# Over time.


async def memory(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Return by how much the service's memory grows over many calls."""
    return await in_a_fast_loop(lambda: _memory(1_000 if quick else 10_000))


async def _memory(part: int) -> list[Figure]:
    """Warm up with a tenth of as many calls as follow in ten parts, of all kinds."""
    numbers = count()

    async def ask() -> None:
        number = next(numbers)
        name = _ids.unique() if number % 4 == 1 else ""
        stream = StreamOptions(on=number % 4 == 2, to=nowhere)  # noqa: PLR2004 - every fourth
        provider = "chat" if number % 2 else "claude"
        await made.routed(asking(provider, id=name, stream=stream))

    async with stand() as made:
        nowhere = subjects.call_deltas("default", "bench")
        service = psutil.Process(made.pid)
        await _saturated(ask, part)
        warm = service.memory_info().rss
        for _ in range(10):
            await _saturated(ask, part)
            made.emulator.reset()
        grown = service.memory_info().rss / warm
    name = f"providers.memory_after_{10 * part}_calls"
    told = figure(name, [grown], unit="x", goal=1.05, better="lower")
    return [structs.replace(told, floor=round(warm / 1024**2, 3))]


# The exact cache.


async def cache(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Return how often, and how soon, the exact cache answers what people ask again."""
    return await in_a_fast_loop(lambda: _cache(2_000 if quick else 10_000))


async def _cache(size: int) -> list[Figure]:
    weights = [1 / rank**_EXPONENT for rank in range(1, _PROMPTS + 1)]
    chosen = random.Random(1).choices(range(_PROMPTS), weights, k=size)  # noqa: S311 - a sample
    hits: list[float] = []
    misses: list[float] = []
    async with stand() as made:
        await _latency(made, "claude", 1, 100)
        for number in chosen:
            request = asking("claude", text=f"Question {number}", cache=CacheOptions(mode="auto"))
            begin = time.perf_counter()
            response = await made.routed(request, CACHED)
            taken = hits if response.cached == "exact" else misses
            taken.append((time.perf_counter() - begin) * 1000)
    return [
        figure("providers.cache_hit_rate", [len(hits) / size], unit="", goal=0.6, better="higher"),
        beside(figure("providers.cache_hit_ms", hits, unit="ms", goal=1, better="lower"), misses),
    ]
