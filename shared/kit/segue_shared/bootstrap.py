"""The bootstrap: how does a broker get the streams, buckets and consumers of a topology?

This is the only place that changes them, the orchestrator's pool consumers aside. It adds what is
missing and changes what can be changed; it refuses what would lose data.
"""

import secrets
from typing import Final

import structlog

from segue_contracts.topology import Bucket, Consumer, Layout, ObjectBucket, Stream, Topology
from segue_shared.bus import Bus
from segue_shared.consumers import (
    Change,
    Config,
    api,
    covers,
    ensure_consumer,
    raise_refusal,
)
from segue_shared.errors import DestructiveChangeError
from segue_shared.journal import EPOCH_KEY
from segue_shared.layouts import apply_layout

__all__ = ["Change", "apply", "ensure_consumer", "missing", "stream_configs"]

_log = structlog.get_logger()

_NANO: Final = 1_000_000_000
_NOT_FOUND: Final = 404
_FIXED: Final = ("storage", "retention")
"""Stream settings whose change would lose what the stream holds."""


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
        ConflictError: Somebody else changes a layout at the same time.
        PermanentError: The broker refuses a configuration.
    """
    changes = []
    for config in stream_configs(topology, replicas=replicas):
        changes += await _apply_stream(
            bus, config, has_epoch=config["name"] == topology.epoch_stream
        )
    for consumer in topology.consumers:
        if not any(_divides(layout, consumer) for layout in topology.layouts):
            changes += await ensure_consumer(bus, consumer)
    for layout in topology.layouts:
        changes += await apply_layout(bus, layout)
    return changes


def _divides(layout: Layout, consumer: Consumer) -> bool:
    return consumer.stream == layout.whole.stream and layout.owns(consumer.name)


async def missing(bus: Bus, topology: Topology) -> list[str]:
    """Return the names of streams and buckets that a broker lacks."""
    names = [config["name"] for config in stream_configs(topology)]
    found = [await api(bus, f"STREAM.INFO.{name}") for name in names]
    return [name for name, answer in zip(names, found, strict=True) if "error" in answer]


def stream_configs(topology: Topology, *, replicas: int = 1) -> list[Config]:
    """Return the JetStream configuration of every stream and bucket of a topology."""
    configs = [_stream(stream) for stream in topology.streams]
    configs += [_bucket(bucket) for bucket in topology.buckets]
    configs += [_object_bucket(bucket) for bucket in topology.object_buckets]
    return [config | {"num_replicas": replicas} for config in configs]


async def _apply_stream(bus: Bus, wanted: Config, *, has_epoch: bool) -> list[Change]:
    name = wanted["name"]
    answer = await api(bus, f"STREAM.INFO.{name}")
    if "error" in answer:
        if answer["error"].get("code") != _NOT_FOUND:
            raise_refusal(answer, f"stream {name}")
        if has_epoch:
            wanted = wanted | {"metadata": {EPOCH_KEY: secrets.token_hex(5)}}
        raise_refusal(await api(bus, f"STREAM.CREATE.{name}", wanted), f"stream {name}")
        _log.info("stream_applied", stream=name, action="created")
        return [Change("stream", name, "created")]
    found = answer["config"]
    if covers(found, wanted):
        return []
    _refuse_loss(found, wanted)
    raise_refusal(await api(bus, f"STREAM.UPDATE.{name}", found | wanted), f"stream {name}")
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
