"""Layouts: how does the number of consumers that divide a stream change while they are read?

A consumer vouches for what its own filters let through: all of it up to its floor was settled. So
each filter has the highest floor of the consumers that have it, and a new consumer starts after the
lowest floor of its filters. This holds for whatever an interrupted change left behind, and nothing
is lost at any point: what is received twice must be harmless to whoever reads it.
"""

import asyncio
from collections.abc import Iterable
from typing import Annotated, Final

import msgspec
import structlog
from msgspec.structs import replace

from segue_contracts.topology import Consumer, Layout
from segue_shared.bus import Bus
from segue_shared.consumers import Change, api, delete_consumer, ensure_consumer, raise_refusal
from segue_shared.errors import BusUnavailableError, ConflictError, InvalidMessageError
from segue_shared.keyvalue import Entry, KeyValue

_log = structlog.get_logger()

_FAR_BEHIND: Final = 10_000
"""Messages that are received twice rather than looked at one filter at a time."""
_LEAVE_S: Final = 15.0
"""How long readers may take to notice a change, before what they read is taken away."""
_LOOK_AGAIN_S: Final = 0.1
_NO_MESSAGE: Final = 10037


class _Stored(msgspec.Struct, frozen=True):
    count: Annotated[int, msgspec.Meta(ge=1)]


class _Floor(msgspec.Struct, frozen=True):
    stream_seq: int = 0


class _Config(msgspec.Struct, frozen=True):
    filter_subject: str = ""
    filter_subjects: tuple[str, ...] = ()


class _Found(msgspec.Struct, frozen=True):
    """A consumer as the broker tells of it."""

    name: str
    config: _Config = _Config()
    ack_floor: _Floor = _Floor()
    num_waiting: int = 0
    num_pending: int = 0
    num_ack_pending: int = 0

    @property
    def filters(self) -> tuple[str, ...]:
        single = self.config.filter_subject
        return (single,) if single else self.config.filter_subjects

    @property
    def floor(self) -> int:
        return self.ack_floor.stream_seq


class _Page(msgspec.Struct, frozen=True):
    total: int = 0
    limit: int = 0
    consumers: tuple[_Found, ...] = ()
    missing: tuple[str, ...] = ()


async def stored_count(bus: Bus, layout: Layout) -> int | None:
    """Return how many consumers a layout has; None when nobody has stored it yet.

    Raises:
        InvalidMessageError: What is stored is no number.
    """
    return _count(layout, await KeyValue(bus, layout.bucket).get(layout.name))


async def settled_up_to(bus: Bus, layout: Layout) -> int:
    """Return the sequence up to which no consumer of a layout has anything left to settle.

    Raises:
        BusUnavailableError: A consumer's state is unknown for now.
        PermanentError: The broker refuses.
    """
    last = await _last_sequence(bus, layout.whole.stream)
    found = (await _found(bus, layout)).values()
    # The floor of one that has nothing to do stays where it is, be that for months.
    return min(
        (one.floor if one.num_pending or one.num_ack_pending else last for one in found), default=0
    )


async def apply_layout(bus: Bus, layout: Layout) -> list[Change]:
    """Bring a stream to a layout while it is read; interrupted at any point, do it again.

    Make the consumers that are missing, store their number, by which readers go, wait until nobody
    reads the others, and remove those.

    Returns:
        What was created, updated or deleted, in order.

    Raises:
        ConflictError: Somebody else changes it at the same time.
        BusUnavailableError: A consumer's state is unknown for now.
        PermanentError: The broker refuses a configuration.
        ValueError: The layout cannot have so many consumers.
    """
    keys = KeyValue(bus, layout.bucket)
    entry = await keys.get(layout.name)
    stored = _repaired_count(layout, entry)
    count = layout.count or stored or layout.default
    wanted = layout.consumers(count)
    changes = await _make(bus, layout, wanted, in_use=count == stored)
    if count != stored:
        await _store(keys, layout, entry, count)
        _log.info("layout_changed", layout=layout.name, before=stored, count=count)
        changes.append(Change("layout", layout.name, "updated" if entry else "created"))
    return changes + await _clear(bus, layout, count)


def _count(layout: Layout, entry: Entry | None) -> int | None:
    if entry is None:
        return None
    try:
        count = msgspec.json.decode(entry.value, type=_Stored).count
        layout.consumers(count)
    except (msgspec.DecodeError, ValueError) as error:
        where = f"key {layout.name} of bucket {layout.bucket}"
        way_out = "'segue bus apply' with a number of consumers stores another"
        raise InvalidMessageError(f"{where}: {error}; {way_out}") from error
    return count


def _repaired_count(layout: Layout, entry: Entry | None) -> int | None:
    """Return what is stored; what cannot be read counts as nothing where it is replaced anyway."""
    try:
        return _count(layout, entry)
    except InvalidMessageError:
        if not layout.count:
            raise
        return None


async def _store(keys: KeyValue, layout: Layout, entry: Entry | None, count: int) -> None:
    value = msgspec.json.encode(_Stored(count))
    if entry is None:
        revision = await keys.create(layout.name, value)
    else:
        revision = await keys.update(layout.name, value, entry.revision)
    # What comes late to the same number has nothing left to do.
    if revision is None and _count(layout, await keys.get(layout.name)) != count:
        raise _conflict(layout)


def _conflict(layout: Layout) -> ConflictError:
    return ConflictError(f"somebody else changes the {layout.name} consumers; apply again")


async def _make(
    bus: Bus, layout: Layout, wanted: tuple[Consumer, ...], *, in_use: bool
) -> list[Change]:
    """Make the consumers that are missing, and those that would begin too far back."""
    last = await _last_sequence(bus, layout.whole.stream)
    found = await _found(bus, layout)
    floors = await _floors(bus, layout, found, last)
    changes = []
    for consumer in wanted:
        floor = min(floors.get(pattern, 0) for pattern in consumer.filters)
        left = found.get(consumer.name)
        if left is not None and not in_use and left.floor < floor:
            changes += await delete_consumer(bus, stream=consumer.stream, consumer=consumer.name)
            left = None
        start = floor + 1 if left is None and floor else 0
        changes += await ensure_consumer(bus, replace(consumer, start_sequence=start))
    return changes


async def _floors(bus: Bus, layout: Layout, found: dict[str, _Found], last: int) -> dict[str, int]:
    """Return the sequence up to which everything that fits a filter was settled, by filter."""
    floors: dict[str, int] = {}
    for consumer in found.values():
        for pattern in consumer.filters:
            floors[pattern] = max(floors.get(pattern, 0), consumer.floor)
    for pattern, floor in floors.items():
        # A consumer's floor stays where it is while nothing for it arrives, be that for months.
        if last - floor > _FAR_BEHIND:
            following = await _next_sequence(bus, layout.whole.stream, pattern, floor + 1)
            floors[pattern] = max(floor, (following or last + 1) - 1)
    return floors


async def _last_sequence(bus: Bus, stream: str) -> int:
    answer = await api(bus, f"STREAM.INFO.{stream}")
    raise_refusal(answer, f"stream {stream}")
    last: int = answer["state"]["last_seq"]
    return last


async def _next_sequence(bus: Bus, stream: str, pattern: str, first: int) -> int | None:
    """Return where the next message for a filter is; None when there is none."""
    # Asked of the stream's leader: a consumer or a direct get may not know yet what it stored.
    request = {"seq": first, "next_by_subj": pattern}
    answer = await api(bus, f"STREAM.MSG.GET.{stream}", request)
    if answer.get("error", {}).get("err_code") == _NO_MESSAGE:
        return None
    raise_refusal(answer, f"stream {stream}")
    sequence: int = answer["message"]["seq"]
    return sequence


async def _found(bus: Bus, layout: Layout) -> dict[str, _Found]:
    """Return every consumer of the layout, whatever its number, by name."""
    stream, found, offset, total = layout.whole.stream, list[_Found](), 0, 1
    while offset < total:
        answer = await api(bus, f"CONSUMER.LIST.{stream}", {"offset": offset})
        raise_refusal(answer, f"stream {stream}")
        page = msgspec.convert(answer, _Page)
        if page.missing:
            names = ", ".join(page.missing)
            raise BusUnavailableError(f"consumers {names} do not answer; apply again")
        found += page.consumers
        offset, total = offset + max(page.limit, 1), page.total
    return {consumer.name: consumer for consumer in found if layout.owns(consumer.name)}


async def _clear(bus: Bus, layout: Layout, count: int) -> list[Change]:
    """Remove the consumers of other numbers once nobody reads them, or after a while."""
    wanted = {consumer.name for consumer in layout.consumers(count)}
    others = (await _found(bus, layout)).keys() - wanted
    if others:
        await _until_left(bus, layout, others)
    changes = []
    for name in sorted(others):
        if await stored_count(bus, layout) != count:
            raise _conflict(layout)
        changes += await delete_consumer(bus, stream=layout.whole.stream, consumer=name)
    return changes


async def _until_left(bus: Bus, layout: Layout, names: Iterable[str]) -> None:
    """Return once nobody waits for messages of these consumers; readers go by the number."""
    try:
        async with asyncio.timeout(_LEAVE_S):
            while True:
                if not _read(await _found(bus, layout), names):
                    return
                await asyncio.sleep(_LOOK_AGAIN_S)
    except TimeoutError:
        # They lose nothing by it: the new consumers have everything that is not settled.
        _log.warning("layout_still_read", layout=layout.name)


def _read(found: dict[str, _Found], names: Iterable[str]) -> bool:
    return any(found[name].num_waiting for name in names if name in found)
