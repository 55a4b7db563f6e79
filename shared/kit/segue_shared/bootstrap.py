"""The bootstrap: how does a broker get the streams, buckets and consumers of a topology?

This is the only place that changes them, the orchestrator's pool consumers aside. It adds what is
missing and changes what can be changed; it refuses what would lose data.
"""

import secrets
from typing import Any, Final, Literal

import msgspec
import structlog

from segue_contracts.topology import Bucket, Consumer, ObjectBucket, Stream, Topology
from segue_shared.bus import Bus
from segue_shared.errors import DestructiveChangeError, PermanentError
from segue_shared.journal import EPOCH_KEY

Config = dict[str, Any]

_log = structlog.get_logger()

_NANO: Final = 1_000_000_000
_NOT_FOUND: Final = 404
_FIXED: Final = ("storage", "retention")
"""Stream settings whose change would lose what the stream holds."""


class Change(msgspec.Struct, frozen=True):
    """One thing that the bootstrap did."""

    kind: Literal["stream", "consumer"]
    name: str
    action: Literal["created", "updated"]


async def apply(bus: Bus, topology: Topology, *, replicas: int = 1) -> list[Change]:
    """Bring a broker to a topology; a second call changes nothing.

    Args:
        bus: A connection that may manage JetStream.
        topology: What shall exist.
        replicas: Copies of everything; 1 or 3.

    Returns:
        What was created or updated, in order.

    Raises:
        DestructiveChangeError: Something exists in a form that cannot be changed without loss.
        PermanentError: The broker refuses a configuration.
    """
    changes = []
    for config in stream_configs(topology, replicas=replicas):
        changes += await _apply_stream(
            bus, config, has_epoch=config["name"] == topology.epoch_stream
        )
    for consumer in topology.consumers:
        changes += await ensure_consumer(bus, consumer)
    return changes


async def missing(bus: Bus, topology: Topology) -> list[str]:
    """Return the names of streams and buckets that a broker lacks."""
    names = [config["name"] for config in stream_configs(topology)]
    found = [await _api(bus, f"STREAM.INFO.{name}") for name in names]
    return [name for name, answer in zip(names, found, strict=True) if "error" in answer]


def stream_configs(topology: Topology, *, replicas: int = 1) -> list[Config]:
    """Return the JetStream configuration of every stream and bucket of a topology."""
    configs = [_stream(stream) for stream in topology.streams]
    configs += [_bucket(bucket) for bucket in topology.buckets]
    configs += [_object_bucket(bucket) for bucket in topology.object_buckets]
    return [config | {"num_replicas": replicas} for config in configs]


async def ensure_consumer(bus: Bus, consumer: Consumer) -> list[Change]:
    """Make a durable consumer, or bring its filters and limits up to date.

    Raises:
        PermanentError: The broker refuses the configuration.
    """
    wanted = _consumer(consumer)
    name = f"{consumer.stream}.{consumer.name}"
    answer = await _api(bus, f"CONSUMER.INFO.{name}")
    if "error" not in answer:
        found = answer["config"]
        wanted |= {key: found[key] for key in ("deliver_policy", "opt_start_seq") if key in found}
        if _covers(found, wanted):
            return []
    action: Literal["created", "updated"] = "created" if "error" in answer else "updated"
    request = {"stream_name": consumer.stream, "config": wanted}
    _raise(await _api(bus, f"CONSUMER.DURABLE.CREATE.{name}", request), f"consumer {name}")
    _log.info("consumer_applied", consumer=name, action=action)
    return [Change("consumer", name, action)]


async def _apply_stream(bus: Bus, wanted: Config, *, has_epoch: bool) -> list[Change]:
    name = wanted["name"]
    answer = await _api(bus, f"STREAM.INFO.{name}")
    if "error" in answer:
        if answer["error"].get("code") != _NOT_FOUND:
            _raise(answer, f"stream {name}")
        if has_epoch:
            wanted = wanted | {"metadata": {EPOCH_KEY: secrets.token_hex(5)}}
        _raise(await _api(bus, f"STREAM.CREATE.{name}", wanted), f"stream {name}")
        _log.info("stream_applied", stream=name, action="created")
        return [Change("stream", name, "created")]
    found = answer["config"]
    if _covers(found, wanted):
        return []
    _refuse_loss(found, wanted)
    _raise(await _api(bus, f"STREAM.UPDATE.{name}", found | wanted), f"stream {name}")
    _log.info("stream_applied", stream=name, action="updated")
    return [Change("stream", name, "updated")]


def _refuse_loss(found: Config, wanted: Config) -> None:
    """Raise when going from one stream configuration to another would drop messages."""
    losses = [
        f"{key} {found.get(key)} -> {wanted[key]}"
        for key in _FIXED
        if found.get(key) != wanted[key]
    ]
    if gone := set(found.get("subjects", ())) - set(wanted["subjects"]):
        losses.append(f"subjects {sorted(gone)} removed")
    losses += [
        f"{key} {found.get(key)} -> {wanted[key]}"
        for key in ("max_age", "max_bytes", "max_msgs_per_subject")
        if _narrower(found.get(key, 0), wanted.get(key, 0))
    ]
    if losses:
        raise DestructiveChangeError(
            f"stream {wanted['name']} exists and would lose messages by {'; '.join(losses)}; "
            "move its data by hand, then apply again"
        )


def _narrower(found: int, wanted: int) -> bool:
    """Tell whether a limit becomes smaller; 0 and -1 mean none."""
    return wanted > 0 and (found <= 0 or wanted < found)


def _covers(found: Config, wanted: Config) -> bool:
    """Tell whether a configuration already says what is wanted; defaults may be left out."""
    return all(found.get(key, _absent(value)) == value for key, value in wanted.items())


def _absent(value: object) -> object:
    """Return what the broker means when it leaves a setting of this kind out."""
    return type(value)() if isinstance(value, bool | int | str | list) else None


def _stream(stream: Stream) -> Config:
    config: Config = {
        "name": stream.name,
        "description": stream.description,
        "subjects": list(stream.subjects),
        "retention": "limits",
        "storage": "file",
        "discard": "old",
        "max_age": stream.max_age_s * _NANO,
        "max_bytes": stream.max_bytes,
        "allow_direct": True,
        "allow_msg_ttl": stream.message_ttl,
        "allow_msg_schedules": stream.schedules,
    }
    if stream.republish is not None:
        config["republish"] = {"src": stream.republish.source, "dest": stream.republish.destination}
    return config


def _bucket(bucket: Bucket) -> Config:
    config: Config = {
        "name": f"KV_{bucket.name}",
        "description": bucket.description,
        "subjects": [f"$KV.{bucket.name}.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "max_age": bucket.ttl_s * _NANO,
        "max_msgs_per_subject": bucket.history,
        "allow_rollup_hdrs": True,
        "deny_delete": True,
        "allow_direct": True,
        "allow_msg_ttl": bucket.key_ttl,
    }
    return config | ({"subject_delete_marker_ttl": 60 * _NANO} if bucket.key_ttl else {})


def _object_bucket(bucket: ObjectBucket) -> Config:
    return {
        "name": f"OBJ_{bucket.name}",
        "description": bucket.description,
        "subjects": [f"$O.{bucket.name}.C.>", f"$O.{bucket.name}.M.>"],
        "retention": "limits",
        "storage": "file",
        "discard": "new",
        "allow_rollup_hdrs": True,
        "allow_direct": True,
    }


def _consumer(consumer: Consumer) -> Config:
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
    config |= {"filter_subject": filters[0]} if len(filters) == 1 else {"filter_subjects": filters}
    if consumer.pinned_group:
        config |= {
            "priority_groups": [consumer.pinned_group],
            "priority_policy": "pinned_client",
            "priority_timeout": int(consumer.pinned_timeout_s * _NANO),
        }
    return config


async def _api(bus: Bus, call: str, request: Config | None = None) -> Config:
    data = b"" if request is None else msgspec.json.encode(request)
    answer: Config = msgspec.json.decode(await bus.request(f"$JS.API.{call}", data))
    return answer


def _raise(answer: Config, what: str) -> None:
    if "error" in answer:
        error = answer["error"]
        raise PermanentError(f"{what}: {error.get('description')} ({error.get('err_code')})")
