"""The list of runs on a real broker: is it whole, in order, filtered and bounded?"""

import pytest
from support.runs import Runs

from segue_contracts.envelope import encode
from segue_contracts.v1 import registry, subjects
from segue_contracts.v1.commands import ListRuns, PauseRun, RunList
from segue_contracts.v1.topology import PAYLOADS, RUNS, SNAPSHOTS, WORKFLOWS
from segue_orchestrator.shell import listing
from segue_orchestrator.shell.definitions import Definitions
from segue_orchestrator.shell.live import Loader
from segue_orchestrator.shell.outputs import Outputs
from segue_orchestrator.shell.snapshots import Snapshots
from segue_shared.bus import Bus
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal, StoredMessage
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import Payloads

SLEEPS = "{name: NAME, steps: [{key: a, wait: {signal: go}}]}"
DONE = "{name: NAME, steps: [{key: a, wait: {duration: 1ms}}]}"
FAILS = "{name: NAME, steps: [{key: a, pool: POOL}]}"


@pytest.fixture
def name() -> str:
    """A workflow's name of this test alone."""
    return SystemIds().unique()


async def listed(runs: Runs, **fields: object) -> RunList:
    """List runs."""
    found: RunList = await runs.call(registry.LIST_RUNS, ListRuns(**fields))  # type: ignore[arg-type]
    return found


async def started(runs: Runs, text: str, name: str, count: int = 1) -> list[str]:
    """Start runs one after the other; return them, the newest first."""
    return [await runs.start(text.replace("NAME", name)) for _ in range(count)][::-1]


def parts(bus: Bus) -> tuple[Loader, Snapshots]:
    """Return what folds runs, and what keeps their states."""
    journal, payloads = Journal(bus, RUNS), Payloads(bus, PAYLOADS)
    outputs = Outputs(journal, payloads)
    snapshots = Snapshots(KeyValue(bus, SNAPSHOTS), payloads, outputs)
    definitions = Definitions(KeyValue(bus, WORKFLOWS))
    return Loader(journal, definitions, payloads, outputs, snapshots), snapshots


async def test_a_run_is_listed_with_where_it_stands(runs: Runs, name: str) -> None:
    """Running, waiting, paused and ended runs are told apart, and can be asked for."""
    [done] = await started(runs, DONE, name)
    runs.desk.fail("a")
    [failed] = await started(runs, FAILS, name)
    [waiting, paused] = await started(runs, SLEEPS, name, 2)
    await runs.ended(done)
    await runs.ended(failed)
    await runs.is_at(waiting, "waiting")
    await runs.call(registry.PAUSE_RUN, PauseRun(run=paused))
    await runs.is_at(paused, "paused")

    page = await listed(runs, workflow=name)

    assert [(run.run, run.status, bool(run.ended_ms)) for run in page.runs] == [
        (waiting, "waiting", False),
        (paused, "paused", False),
        (failed, "failed", True),
        (done, "completed", True),
    ]
    assert page.next == ""
    for run, status in ((done, "completed"), (failed, "failed"), (paused, "paused")):
        only = await listed(runs, workflow=name, status=status)
        assert [one.run for one in only.runs] == [run]


async def test_pages_follow_each_other_without_gap_or_repeat(runs: Runs, name: str) -> None:
    """Each says where the next begins; the last says that there is none."""
    everything = await started(runs, SLEEPS, name, 7)
    pages: list[list[str]] = []
    before = ""
    while not pages or before:
        page = await listed(runs, workflow=name, limit=3, before=before)
        pages.append([run.run for run in page.runs])
        before = page.next

    assert pages == [everything[:3], everything[3:6], everything[6:]]


async def test_runs_far_back_are_found_through_windows_of_the_stream(
    runs: Runs, bus: Bus, name: str
) -> None:
    """What lies between does not matter."""
    old = await started(runs, DONE, name, 2)
    [latest] = await started(runs, SLEEPS, name)
    for number in range(3_000):
        await bus.client.publish(
            subjects.run_event("default", latest, f"signal.{number}"), b'{"noise": true}'
        )
    await bus.client.flush()
    new = await started(runs, SLEEPS, name, 2)

    page = await listed(runs, workflow=name)

    assert [run.run for run in page.runs] == [*new, latest, *old]


async def test_no_run_falls_between_two_windows(runs: Runs, bus: Bus, name: str) -> None:
    """Wherever the edges are, each run is listed once."""
    everything = await started(runs, SLEEPS, name, 12)
    loader, snapshots = parts(bus)
    for window in (1, 2, 3, 7):
        narrow = listing.Listing(Journal(bus, RUNS), loader, snapshots, window=window)
        page = await narrow.page("default", ListRuns(workflow=name))

        assert [run.run for run in page.runs] == everything


class CountingJournal(Journal):
    """A journal that knows how much was read of it."""

    messages = 0

    async def after(
        self, pattern: str, sequence: int, *, limit: int = 1_000
    ) -> list[StoredMessage]:
        """Count what comes."""
        found = await super().after(pattern, sequence, limit=limit)
        self.messages += len(found)
        return found


async def test_a_page_does_not_read_the_whole_journal(runs: Runs, bus: Bus, name: str) -> None:
    """Only the windows that hold it, whatever lies before."""
    for number in range(1_500):
        run = SystemIds().run_id(number)
        await bus.client.publish(subjects.run_event("default", run, "started"), b"{}")
    await bus.client.flush()
    newest = await started(runs, DONE, name, 3)
    journal = CountingJournal(bus, RUNS)
    loader, snapshots = parts(bus)

    page = await listing.Listing(journal, loader, snapshots).page("default", ListRuns(limit=3))

    assert [run.run for run in page.runs] == newest
    assert journal.messages <= 1_024


async def test_a_search_that_finds_little_stops_and_says_where_to_go_on(
    runs: Runs, bus: Bus, name: str
) -> None:
    """One call looks at a bounded number of runs."""
    everything = await started(runs, SLEEPS, name, 5)
    loader, snapshots = parts(bus)
    short = listing.Listing(Journal(bus, RUNS), loader, snapshots, look_at=2)

    page = await short.page("default", ListRuns(status="completed"))

    assert (page.runs, page.next) == ([], everything[1])


async def test_a_run_that_sleeps_longer_than_its_start_is_kept_is_listed(
    runs: Runs, bus: Bus, name: str
) -> None:
    """Its snapshot tells of it, after all runs that the journal still holds."""
    [newer, asleep] = await started(runs, SLEEPS, name, 2)
    await runs.is_at(asleep, "waiting")
    await runs.is_at(newer, "waiting")
    loader, snapshots = parts(bus)
    await snapshots.save((await loader.load("default", asleep)).state)
    request = {"filter": subjects.run_all("default", asleep)}
    await bus.request(f"$JS.API.STREAM.PURGE.{RUNS}", encode(request))

    page = await listed(runs, workflow=name)
    first = await listed(runs, workflow=name, limit=1)
    second = await listed(runs, workflow=name, before=newer)
    none = await listed(runs, workflow=name, before=asleep)

    assert [(run.run, run.status) for run in page.runs] == [
        (newer, "waiting"),
        (asleep, "waiting"),
    ]
    assert (first.runs[0].run, first.next) == (newer, newer)
    assert ([run.run for run in second.runs], none.runs) == ([asleep], [])
