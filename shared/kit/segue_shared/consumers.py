"""Durable consumers: how is one made, brought up to date, and removed?"""

from typing import Any, Final, Literal

import msgspec
import structlog

from segue_contracts.topology import Consumer
from segue_shared.bus import Bus
from segue_shared.errors import BusUnavailableError, PermanentError

Config = dict[str, Any]

_log = structlog.get_logger()

_NANO: Final = 1_000_000_000
_NOT_FOUND: Final = 404
_PASSING: Final = frozenset({10004, 10008, 10009, 10023, 10028, 10041, 10047, 10104})
"""JetStream's errors of a broker without a leader, or without room or a sound disk, for a while."""
_CONSUMER_REFUSED: Final = 10012
_NO_STORE: Final = "error creating store for consumer"
"""What the same code says of a disk, beside settings that can never be changed."""
_START: Final = ("deliver_policy", "opt_start_seq")
"""Where a consumer starts; it cannot be changed later."""


class Change(msgspec.Struct, frozen=True):
    """One thing that the bootstrap did."""

    kind: Literal["stream", "consumer", "layout"]
    name: str
    action: Literal["created", "updated", "deleted"]


async def api(bus: Bus, call: str, request: Config | None = None) -> Config:
    """Ask JetStream, and return its answer, which may be an error."""
    data = b"" if request is None else msgspec.json.encode(request)
    answer: Config = msgspec.json.decode(await bus.request(f"$JS.API.{call}", data))
    return answer


def raise_refusal(answer: Config, what: str) -> None:
    """Raise when an answer is an error.

    Raises:
        BusUnavailableError: The broker cannot do it now.
        PermanentError: It never will.
    """
    if "error" in answer:
        error = answer["error"]
        kind = BusUnavailableError if _passes(error) else PermanentError
        raise kind(f"{what}: {error.get('description')} ({error.get('err_code')})")


def _passes(error: Config) -> bool:
    code = error.get("err_code")
    if code == _CONSUMER_REFUSED:
        return error.get("description") == _NO_STORE
    return code in _PASSING


def covers(found: Config, wanted: Config) -> bool:
    """Tell whether a configuration already says what is wanted; defaults may be left out."""
    return all(found.get(key, _absent(value)) == value for key, value in wanted.items())


def _absent(value: object) -> object:
    """Return what the broker means when it leaves a setting of this kind out."""
    return type(value)() if isinstance(value, bool | int | str | list) else None


async def ensure_consumer(bus: Bus, consumer: Consumer) -> list[Change]:
    """Make a durable consumer, or bring its filters and limits up to date.

    Raises:
        PermanentError: The broker refuses the configuration.
    """
    wanted = _config(consumer)
    name = f"{consumer.stream}.{consumer.name}"
    answer = await api(bus, f"CONSUMER.INFO.{name}")
    if "error" not in answer:
        found = answer["config"]
        wanted = {key: value for key, value in wanted.items() if key not in _START}
        wanted |= {key: found[key] for key in _START if key in found}
        if covers(found, wanted):
            return []
    action: Literal["created", "updated"] = "created" if "error" in answer else "updated"
    request = {"stream_name": consumer.stream, "config": wanted}
    made = await api(bus, f"CONSUMER.DURABLE.CREATE.{name}", request)
    if "error" in made and action == "created" and await _is_there(bus, name):
        return await ensure_consumer(bus, consumer)  # somebody else was quicker
    raise_refusal(made, f"consumer {name}")
    _log.info("consumer_applied", consumer=name, action=action)
    return [Change("consumer", name, action)]


async def _is_there(bus: Bus, name: str) -> bool:
    return "error" not in await api(bus, f"CONSUMER.INFO.{name}")


async def delete_consumer(bus: Bus, *, stream: str, consumer: str) -> list[Change]:
    """Remove a durable consumer; one that is gone already is no change.

    Raises:
        PermanentError: The broker refuses.
    """
    name = f"{stream}.{consumer}"
    answer = await api(bus, f"CONSUMER.DELETE.{name}")
    if answer.get("error", {}).get("code") == _NOT_FOUND:
        return []
    raise_refusal(answer, f"consumer {name}")
    _log.info("consumer_applied", consumer=name, action="deleted")
    return [Change("consumer", name, "deleted")]


async def deliver_again(bus: Bus, *, stream: str, consumer: str) -> None:
    """Have what a consumer handed out and nobody settled delivered again now, in order.

    Raises:
        TransientError: The broker does not answer.
        PermanentError: It refuses, or there is no such consumer.
    """
    name = f"{stream}.{consumer}"
    raise_refusal(await api(bus, f"CONSUMER.RESET.{name}"), f"consumer {name}")


def _config(consumer: Consumer) -> Config:
    filters = list(consumer.filters)
    config: Config = {
        "durable_name": consumer.name,
        "deliver_policy": "new" if consumer.deliver_new else "all",
        "ack_policy": consumer.ack_policy,
        "ack_wait": int(consumer.ack_wait_s * _NANO),
        "max_deliver": -1,
        "max_ack_pending": consumer.max_ack_pending,
        "max_waiting": 512,
    }
    if consumer.start_sequence:
        config |= {
            "deliver_policy": "by_start_sequence",
            "opt_start_seq": consumer.start_sequence,
        }
    config |= {"filter_subject": filters[0]} if len(filters) == 1 else {"filter_subjects": filters}
    if consumer.pinned_group:
        config |= {
            "priority_groups": [consumer.pinned_group],
            "priority_policy": "pinned_client",
            "priority_timeout": int(consumer.pinned_timeout_s * _NANO),
        }
    return config
