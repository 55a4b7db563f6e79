"""Idempotency keys on a real broker: does a key stand for the same run for ever?"""

import msgspec
import pytest
from support.runs import Runs

from segue_contracts.envelope import encode
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import RunAccepted, StartRun
from segue_contracts.v1.topology import RUN_KEYS, RUNS
from segue_orchestrator.shell.claims import Claim, Claims
from segue_shared.bus import Bus
from segue_shared.clock import SystemClock
from segue_shared.errors import RefusedError
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal
from segue_shared.keyvalue import KeyValue

TEXT = "{name: nap, inputs: {n: 1}, steps: [{key: a, wait: {duration: 1ms}}]}"
DAY_MS = 24 * 3_600_000


@pytest.fixture
def key() -> str:
    """A key of this test alone."""
    return SystemIds().unique()


async def start(runs: Runs, key: str, **fields: object) -> RunAccepted:
    """Start a run under a key."""
    request = msgspec.structs.replace(StartRun(text=TEXT, key=key), **fields)
    accepted: RunAccepted = await runs.call(registry.START_RUN, request)
    return accepted


async def purge(bus: Bus, run: str) -> None:
    """Let the journal forget a run."""
    request = {"filter": subjects.run_all("default", run)}
    answer = await bus.request(f"$JS.API.STREAM.PURGE.{RUNS}", encode(request))
    assert msgspec.json.decode(answer)["success"]


async def events(bus: Bus, run: str) -> int:
    """Return how many events of a run the journal holds."""
    return len(await Journal(bus, RUNS).last([subjects.run_all("default", run)]))


async def claimed(bus: Bus) -> tuple[str, Claim]:
    """Return the newest claim and its name in the bucket."""
    [*_, newest] = await Journal(bus, f"KV_{RUN_KEYS}").after(f"$KV.{RUN_KEYS}.>", 0)
    name = newest.subject.removeprefix(f"$KV.{RUN_KEYS}.")
    return name, msgspec.json.decode(newest.data, type=Claim)


async def rewrite(bus: Bus, **fields: object) -> None:
    """Change the newest claim, as if its process had died earlier."""
    name, claim = await claimed(bus)
    await KeyValue(bus, RUN_KEYS).put(name, encode(msgspec.structs.replace(claim, **fields)))


async def test_a_key_stands_for_its_run_after_the_journal_has_let_it_go(
    runs: Runs, bus: Bus, key: str
) -> None:
    """The claim knows that the run was started, so nothing runs a second time."""
    first = await start(runs, key)
    await runs.ended(first.run)
    await purge(bus, first.run)

    again = await start(runs, key)

    assert again == msgspec.structs.replace(first, existing=True)
    assert await events(bus, first.run) == 0


async def test_a_claim_that_never_heard_of_its_start_is_mended_by_the_next_repeat(
    runs: Runs, bus: Bus, key: str
) -> None:
    """Whoever died between start and note is made up for, however long ago that was."""
    first = await start(runs, key)
    await runs.ended(first.run)
    await rewrite(bus, sequence=0, at_ms=0, workflow="", definition="")

    again = await start(runs, key)
    _, claim = await claimed(bus)
    await purge(bus, first.run)
    later = await start(runs, key)

    assert again == later == msgspec.structs.replace(first, existing=True)
    assert (claim.run, claim.definition) == (first.run, first.definition)
    assert first.cursor.endswith(f"-{claim.sequence - 1}")


async def test_a_young_claim_whose_run_never_began_is_started_by_the_next_repeat(
    runs: Runs, bus: Bus, key: str
) -> None:
    """Nobody can have let its start go, so it was never stored."""
    first = await start(runs, key)
    await runs.ended(first.run)
    await purge(bus, first.run)
    await rewrite(bus, sequence=0)

    again = await start(runs, key)

    assert (again.run, again.existing) == (first.run, False)
    assert (await runs.ended(first.run)).status == "completed"


async def test_an_old_claim_whose_run_cannot_be_found_is_refused(
    runs: Runs, bus: Bus, key: str
) -> None:
    """It may have run and been forgotten; starting it could do everything twice."""
    first = await start(runs, key)
    await runs.ended(first.run)
    await purge(bus, first.run)
    await rewrite(bus, sequence=0, at_ms=SystemClock().now_ms() - 7 * DAY_MS)

    with pytest.raises(RefusedError) as caught:
        await start(runs, key)

    refused = caught.value.refused
    assert (refused.code, refused.details) == ("conflict", {"run": first.run})
    assert "use a new key" in refused.message
    assert await events(bus, first.run) == 0


async def test_another_content_under_a_key_is_a_conflict_after_the_purge_too(
    runs: Runs, bus: Bus, key: str
) -> None:
    """The claim keeps what was asked for."""
    first = await start(runs, key)
    await runs.ended(first.run)
    await purge(bus, first.run)

    with pytest.raises(RefusedError) as caught:
        await start(runs, key, inputs={"n": 2})

    assert caught.value.refused.details == {"run": first.run}


async def test_a_claim_that_is_settled_by_two_keeps_the_first_word(bus: Bus, key: str) -> None:
    """A note that comes late changes nothing."""
    claims = Claims(KeyValue(bus, RUN_KEYS), SystemClock(), window_s=60)
    held = await claims.take("default", key, run="run00001", content=b"x")
    await claims.settle(held, sequence=7, workflow="w", definition="d")
    await claims.settle(held, sequence=8, workflow="v", definition="e")

    again = await claims.take("default", key, run="run00002", content=b"x")

    assert (held.is_new, again.is_new) == (True, False)
    assert again.claim == msgspec.structs.replace(
        held.claim, sequence=7, workflow="w", definition="d"
    )
