"""Direct reads on a real broker: does the journal give back what was stored, in order?"""

import pytest

from segue_contracts.payload import PayloadRef, Value
from segue_contracts.v1 import subjects
from segue_contracts.v1.topology import PAYLOADS, RUN_KEYS, RUNS
from segue_shared.bus import Bus
from segue_shared.errors import (
    InvalidMessageError,
    NotFoundError,
    PayloadMissingError,
    TooLargeError,
)
from segue_shared.ids import SystemIds
from segue_shared.journal import Journal, parse_time_ms
from segue_shared.keyvalue import KeyValue
from segue_shared.payloads import MAX_BYTES, Payloads


@pytest.fixture
def prefix() -> str:
    """The subject prefix of a run of this test alone."""
    return subjects.run_prefix("default", SystemIds().run_id(0))


async def test_a_run_is_read_whole_and_in_order(bus: Bus, prefix: str) -> None:
    """One direct get returns every event of a run in stream order."""
    stored = [await bus.create(f"{prefix}.{name}", name.encode()) for name in ("b", "a", "c")]

    messages = await Journal(bus, RUNS).last([f"{prefix}.>"])

    assert [m.data for m in messages] == [b"b", b"a", b"c"]
    assert [m.sequence for m in messages] == [s.sequence for s in stored]


async def test_a_run_with_more_subjects_than_one_read_allows_is_paged(
    bus: Bus, prefix: str
) -> None:
    """Beyond 1,024 subjects the broker refuses one read; all events come all the same."""
    for number in range(1100):
        await bus.create(f"{prefix}.signal.{number}", b"x")

    assert len(await Journal(bus, RUNS).last([f"{prefix}.>"])) == 1100


async def test_a_run_of_several_answers_is_read_unbroken(bus: Bus, prefix: str) -> None:
    """It is whole, and what was purged before is only its beginning."""
    journal = Journal(bus, RUNS)
    for number in range(1100):
        await bus.create(f"{prefix}.signal.{number}", b"x")
    whole = await journal.unbroken(f"{prefix}.>")

    await journal.purge(whole[50].sequence)

    assert len(whole) == 1100
    assert await journal.unbroken(f"{prefix}.>") == whole[50:]


async def test_reading_after_a_sequence_leaves_out_what_came_before(bus: Bus, prefix: str) -> None:
    """A page begins right after the given sequence and respects its limit."""
    journal = Journal(bus, RUNS)
    first, second, third = [
        (await bus.create(f"{prefix}.{name}", b"x")).sequence for name in ("a", "b", "c")
    ]

    assert [m.sequence for m in await journal.after(f"{prefix}.>", first)] == [second, third]
    assert [m.sequence for m in await journal.after(f"{prefix}.>", 0, limit=1)] == [first]
    assert await journal.after(f"{prefix}.>", third) == []


async def test_a_sequence_that_is_gone_reads_as_none(bus: Bus, prefix: str) -> None:
    """A single message is found by its sequence, and its absence is no error."""
    journal = Journal(bus, RUNS)
    stored = await bus.create(f"{prefix}.a", b"x")

    found = await journal.get(stored.sequence)

    assert found is not None
    assert found.subject == f"{prefix}.a"
    assert await journal.get(10**12) is None


async def test_the_epoch_is_the_streams_own(bus: Bus) -> None:
    """The epoch comes from the bootstrap; a stream without one says what to do."""
    assert len(await Journal(bus, RUNS).epoch()) == 10
    with pytest.raises(NotFoundError, match="segue bus apply"):
        await Journal(bus, "TIMERS").epoch()


def test_broker_times_keep_their_milliseconds() -> None:
    """Timestamps have up to nine decimals, trailing zeros cut."""
    assert parse_time_ms("1970-01-01T00:00:01.5Z") == 1500
    assert parse_time_ms("1970-01-01T00:00:01.123456789Z") == 1123
    assert parse_time_ms("1970-01-01T00:00:02Z") == 2000


async def test_a_key_is_created_once_until_deleted(bus: Bus) -> None:
    """Create refuses a key that has a value, and takes one whose value was deleted."""
    bucket = KeyValue(bus, RUN_KEYS)

    assert await bucket.create("default.k1", b"1") is not None
    assert await bucket.create("default.k1", b"2") is None
    entry = await bucket.get("default.k1")
    assert entry is not None
    assert entry.value == b"1"

    await bucket.delete("default.k1")
    assert await bucket.get("default.k1") is None
    assert await bucket.create("default.k1", b"3") is not None


async def test_an_update_needs_the_current_revision(bus: Bus) -> None:
    """Compare and swap: a stale revision changes nothing."""
    bucket = KeyValue(bus, RUN_KEYS)
    revision = await bucket.put("default.k2", b"1")

    newer = await bucket.update("default.k2", b"2", revision)

    assert newer is not None
    assert await bucket.update("default.k2", b"3", revision) is None
    entry = await bucket.get("default.k2")
    assert entry is not None
    assert entry.value == b"2"


async def test_keys_are_listed_below_a_prefix(bus: Bus) -> None:
    """Only keys below the prefix are listed."""
    bucket = KeyValue(bus, RUN_KEYS)
    await bucket.put("team-a.x", b"")
    await bucket.put("team-b.y", b"")

    assert await bucket.keys("team-a") == ["team-a.x"]


async def test_a_key_with_a_foreign_form_is_refused(bus: Bus) -> None:
    """A wildcard in a key would write another subject."""
    with pytest.raises(InvalidMessageError, match="is no key"):
        await KeyValue(bus, RUN_KEYS).put("a.>", b"")


async def test_a_small_value_travels_inline(bus: Bus) -> None:
    """Up to 64 KiB of JSON nothing is stored."""
    payloads = Payloads(bus, PAYLOADS)

    value = await payloads.wrap({"a": 1})

    assert isinstance(value.ref, type(Value().ref))
    assert await payloads.unwrap(value) == {"a": 1}


async def test_a_large_value_is_stored_once_under_its_hash(bus: Bus) -> None:
    """Equal values share one object, and come back whole."""
    payloads = Payloads(bus, PAYLOADS)
    large = {"text": "x" * 200_000}

    first, second = await payloads.wrap(large), await payloads.wrap(large)

    assert first == second
    assert isinstance(first.ref, PayloadRef)
    assert await payloads.unwrap(first) == large


async def test_a_value_that_nobody_could_read_back_is_not_stored(bus: Bus) -> None:
    """The same limit holds for storing and for reading; who hits it is told at once."""
    with pytest.raises(TooLargeError, match="at most are stored"):
        await Payloads(bus, PAYLOADS).wrap_json(bytes(MAX_BYTES + 1))


async def test_a_claim_check_for_nothing_is_a_lasting_error(bus: Bus) -> None:
    """A missing payload is told apart from a broker that does not answer."""
    ref = PayloadRef(sha256="0" * 64, size=70_000)

    with pytest.raises(PayloadMissingError):
        await Payloads(bus, PAYLOADS).unwrap(Value(ref=ref))
