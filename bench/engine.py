"""The engine: how many durable steps a second, at what cost, and how soon?"""

from collections.abc import Sequence
from typing import Final

from bench.frame import Figure, figure
from bench.stand import Profile, Sample, Stand, Work, chain, fan_out, repeated, stand

_CHAIN: Final = Work(chain(5), runs=2_000, in_flight=200, steps=5)


def _shorter(work: Work, quick: bool) -> Work:  # noqa: FBT001 - a benchmark's own option
    runs = max(work.in_flight, work.runs // 4) if quick else work.runs
    return Work(work.text, runs=runs, in_flight=work.in_flight, steps=work.steps, wide=work.wide)


async def chain_of_five(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Return steps per second and CPU per step of chains of 5 no-op steps, 200 runs in flight."""
    return await _chain_of_five(quick, "engine.chain5")


async def synced_chain(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Return the figures of the same work with every write synced to disk by itself."""
    return await _chain_of_five(quick, "engine.fsync.chain5", "fsync")


async def replicated_chain(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Return the figures of the same work with three synced replicas of every write."""
    return await _chain_of_five(quick, "engine.replicated.chain5", "replicated")


async def _chain_of_five(
    quick: bool,  # noqa: FBT001 - a benchmark's own option
    name: str,
    profile: Profile = "fast",
) -> Sequence[Figure]:
    async with stand(profile) as made:
        ours, bare = await made.both(_shorter(_CHAIN, quick), 1 if quick else 5)
    return [
        _rate(f"{name}.steps_per_s", ours, bare),
        figure(
            f"{name}.cpu_per_step",
            [sample.cost_us for sample in ours],
            unit="us",
            floors=[sample.cost_us for sample in bare],
            goal=2.0,
            better="lower",
        ),
    ]


async def shapes(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Return the figures of other shapes of runs: one at a time, wide, long."""
    rounds = 1 if quick else 3
    single = Work(chain(5), runs=50 if quick else 200, in_flight=1, steps=5)
    wide = Work(fan_out(200), runs=20 if quick else 50, in_flight=10, steps=200, wide=True)
    long = Work(chain(100), runs=20 if quick else 60, in_flight=20, steps=100)
    async with stand() as made:
        ours, bare = await made.both(single, rounds)
        figures = [_latency(ours, bare)]
        figures.append(_rate("engine.fan_out200.steps_per_s", *await made.both(wide, rounds)))
        figures.append(_rate("engine.chain100.steps_per_s", *await made.both(long, rounds)))
    return figures


async def scaling(quick: bool) -> Sequence[Figure]:  # noqa: FBT001 - every benchmark has it
    """Return what a step costs in large runs, compared with small ones."""
    rounds = 1 if quick else 3
    size = 2_000 if quick else 10_000
    async with stand() as made:
        chains = await _costs(made, chain(10), chain(1_000), (10, 1_000), rounds)
        maps = await _costs(made, repeated(100), repeated(size), (100, size), rounds)
    return [
        figure(
            "engine.chain1000.cpu_ratio_to_chain10",
            chains,
            unit="x",
            goal=1.2,
            better="lower",
        ),
        figure(
            f"engine.map{size}.cpu_ratio_to_map100",
            maps,
            unit="x",
            goal=1.5,
            better="lower",
        ),
    ]


async def _costs(
    made: Stand, small: str, large: str, sizes: tuple[int, int], rounds: int
) -> list[float]:
    """Return how much more CPU time a step of a large run takes than one of a small run."""
    ratios = []
    for _ in range(rounds):
        many = sizes[1] // sizes[0] * 2
        few = Work(small, runs=many, in_flight=2, steps=sizes[0])
        two = Work(large, runs=2, in_flight=2, steps=sizes[1])
        base = await made.engine(few)
        ratios.append((await made.engine(two)).cost_us / base.cost_us)
    return ratios


def _rate(name: str, ours: Sequence[Sample], bare: Sequence[Sample]) -> Figure:
    return figure(
        name,
        [sample.rate for sample in ours],
        unit="steps/s",
        floors=[sample.rate for sample in bare],
        goal=0.5,
        better="higher",
    )


def _latency(ours: Sequence[Sample], bare: Sequence[Sample]) -> Figure:
    return figure(
        "engine.single.ms_per_step",
        [_ms_per_step(sample) for sample in ours],
        unit="ms",
        floors=[_ms_per_step(sample) for sample in bare],
        goal=2.0,
        better="lower",
    )


def _ms_per_step(sample: Sample) -> float:
    return sample.seconds * 1000 / sample.steps
